import type { Position } from '../../services/protocol/index.ts'
import { rowId8, rowKind } from '../../services/store/row.ts'
import type { Start } from '../../services/store/store.ts'
import { idOf, numbers, type Stage } from './stage.ts'
import type { Example } from './store.ts'

const free = { rateLimit: 0 }

const from = (position: Position): Start => ({ at: 'position', position })

async function parkedAndRecalled(stage: Stage, number: number): Promise<void> {
  await stage.send(number, { keyed: true })
  await stage.store.retract(stage.user, idOf(number), '')
}

/** Event ids, the first cursors of devices, and the lifetime of idempotency keys. */
export const identifying: Example[] = [
  {
    name: 'the tag of a row depends on every row before it: one notification at one offset of two histories has two tags',
    settings: free,
    run: async (t, stage) => {
      const other = `${stage.user}, whose log went another way`
      for (const number of [1, 2]) await stage.store.publish({ ...stage.command(number, { keyed: true }) })
      for (const number of [9, 2]) await stage.store.publish({ ...stage.command(number, { keyed: true }), user: other })
      const { rows, epoch } = await stage.log()
      const { head } = await stage.store.queue(other)
      t.not(rowId8(rows[1] as Buffer), head.id8)
      const { gap } = await stage.attach(from({ ...head, epoch }))
      t.match(gap, { reason: 'fork' })
    }
  },
  {
    name: 'an ack at the offset of a forked cursor corrects its tag, and no ack makes a tag wrong',
    settings: { rateLimit: 0, maxEntries: 100 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      const { topId8 } = await stage.log()
      const ack = (id8: string) => stage.store.ack(stage.user, 'phone', { epoch, offset: 3, id8 })
      const cursor = async (): Promise<string | undefined> => (await stage.store.queue(stage.user)).devices[0]?.position.id8
      await ack('deadbeef')
      t.equal(await cursor(), 'deadbeef', 'the tag of a row that the store has lost since')
      t.match(await stage.attach({ at: 'device' }, { deviceId: 'phone' }), { gap: { reason: 'fork' } })
      await ack('deadbee2')
      await ack('')
      t.equal(await cursor(), 'deadbeef')
      await ack(topId8)
      t.equal(await cursor(), topId8)
      t.match(await stage.attach({ at: 'device' }, { deviceId: 'phone' }), { gap: undefined, rows: [] })
      await ack('deadbeef')
      t.equal(await cursor(), topId8, 'a late ack of the lost row')
    }
  },
  {
    name: 'the tag of a trimmed row is checked: by the row after it, and at the top by the chain',
    settings: { rateLimit: 0, maxEntries: 10, retentionMs: 600_000 },
    run: async (t, stage) => {
      await stage.fill(1, 2)
      const second = await stage.position(2)
      await stage.fill(3, 12)
      t.equal((await stage.store.queue(stage.user)).first.offset, 3)
      t.equal((await stage.attach(from(second))).gap, undefined)
      t.match((await stage.attach(from({ ...second, id8: '01234567' }))).gap, { reason: 'fork' })
      const newest = await stage.position(12)
      await stage.store.detach(stage.user, [])
      stage.clock.advance(stage.settings.retentionMs)
      t.equal((await stage.store.queue(stage.user)).first.offset, 0, 'nothing is retained')
      t.match((await stage.attach(from({ ...newest, id8: '01234567' }))).gap, { reason: 'fork' })
      t.match(await stage.attach(from(newest)), { gap: undefined, topId8: newest.id8 })
    }
  },
  {
    name: 'a released notification gets its tag with its offset; a retry returns that event id',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { keyed: true })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.same(await stage.send(4, { keyed: true }), { status: 'accepted', ...(await stage.position(4)), nodes: 0, replayed: true })
    }
  },
  {
    name: 'a device exists from its first attach: rows it misses are pending for it, whatever other devices acknowledge',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 1)
      await stage.attach({ at: 'latest' }, { deviceId: 'phone' })
      await stage.attach({ at: 'device' }, { deviceId: 'laptop' })
      await stage.fill(2, 4)
      await stage.store.ack(stage.user, 'laptop', { epoch, offset: 4, id8: '' })
      const phone = await stage.attach({ at: 'device' }, { deviceId: 'phone' })
      t.match(phone, { resumed: true, start: { offset: 1 }, gap: undefined })
      t.same(numbers(phone.rows), [2, 3, 4])
      t.match(await stage.attach({ at: 'device' }, { deviceId: 'watch' }), { resumed: false, start: { offset: 4 } })
    }
  },
  {
    name: 'the first attach of a device stores its start as the cursor; later ones do not',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      await stage.fill(1, 5)
      const [second, fifth] = [await stage.position(2), await stage.position(5)]
      const start: [string, Start, number][] = [
        ['a', { at: 'earliest' }, 0],
        ['b', { at: 'latest' }, 5],
        ['c', from(second), 2],
        ['d', { at: 'device' }, 5]
      ]
      const { now } = stage.clock
      for (const [deviceId, at] of start) await stage.attach(at, { deviceId })
      stage.clock.advance(10)
      for (const [deviceId] of start) await stage.attach({ at: 'latest' }, { deviceId })
      const { devices } = await stage.store.queue(stage.user)
      t.same(
        devices.map(({ deviceId, position, at }) => [deviceId, position.offset, at]),
        start.map(([deviceId, , offset]) => [deviceId, offset, now])
      )
      t.same(devices[1]?.position, fifth)
      t.same(devices[2]?.position, second)
    }
  },
  {
    name: 'what an open connection has received becomes the cursor in a log that took the place of a lost one',
    settings: free,
    run: async (t, stage) => {
      const received = { epoch: 'lost', offset: 7, id8: '01234567' }
      const sent = from({ ...received, offset: 9 })
      const gap = { reason: 'epoch', from: 'lost.7.01234567' }
      const epoch = await stage.fill(1, 1)
      t.match(await stage.attach(sent, { received }), { gap: { reason: 'epoch' } })
      await stage.fill(2, 3)
      await stage.store.ack(stage.user, 'laptop', { epoch, offset: 3, id8: '' })
      const again = await stage.attach({ at: 'device' })
      t.match(again, { gap, resumed: true, start: { epoch, offset: 0 } }, 'the gap is told again')
      t.same(numbers(again.rows), [1, 2, 3], 'and no row is skipped')
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 2, id8: '' })
      t.match(await stage.attach({ at: 'device' }), { gap: undefined, resumed: true, start: { offset: 2 } })
      await stage.attach(sent, { received })
      t.match(await stage.attach({ at: 'device' }), { gap: undefined, start: { offset: 2 } }, 'a known cursor stays')
      const third = await stage.position(3)
      await stage.attach(from(third), { deviceId: 'evicted', received: await stage.position(1) })
      t.match(await stage.attach({ at: 'device' }, { deviceId: 'evicted' }), { resumed: true, start: { offset: 1 } }, 'without a gap, too')
    }
  },
  {
    name: 'no cursor is stored by a read, a refused attach, or an attach with a gap',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 1)
      await stage.store.read({ user: stage.user, position: { epoch, offset: 0, id8: '' }, seen: undefined, limit: 10 })
      await stage.store.disconnect({ user: stage.user, connectionId: undefined, reason: '', revoke: true })
      t.match(await stage.store.attach(stage.attachCommand({ at: 'device' }, { issuedAt: stage.clock.now - 2000 })), { status: 'revoked' })
      stage.clock.advance(2000)
      const connections = ['1', '2', '3'].map((name) => stage.connection(name))
      t.match(await stage.store.attach(stage.attachCommand({ at: 'device' }, { connections })), { status: 'limit' })
      t.match(await stage.attach({ at: 'unknown' }), { gap: { reason: 'unknown_id' } })
      t.match(await stage.attach(from({ epoch, offset: 9, id8: '' })), { gap: { reason: 'ahead' } })
      t.same((await stage.store.queue(stage.user)).devices, [])
    }
  },
  {
    name: 'the first cursor of a device over the limit evicts the least recently used one',
    settings: free,
    run: async (t, stage) => {
      for (let device = 0; device < 21; device++) {
        await stage.attach({ at: 'device' }, { deviceId: `device-${String(device).padStart(2, '0')}` })
        stage.clock.advance(10)
      }
      const names = (await stage.store.queue(stage.user)).devices.map(({ deviceId }) => deviceId)
      t.equal(names.length, 20)
      t.notOk(names.includes('device-00'))
    }
  },
  {
    name: 'a key lives as long as its row is in the log, whatever the settings: no id is in a log twice',
    settings: { rateLimit: 0, maxEntries: 3000 },
    long: true,
    run: async (t, stage) => {
      await stage.send(1, { keyed: true })
      await Promise.all(Array.from({ length: 2300 }, (_, index) => stage.send(index + 2)))
      t.match(await stage.send(1, { keyed: true }), { status: 'accepted', offset: 1, replayed: true })
      t.same(await stage.send(1, { keyed: true, body: 7 }), { status: 'conflict' })
      await Promise.all(Array.from({ length: 1100 }, (_, index) => stage.send(index + 3000)))
      t.match(await stage.send(1, { keyed: true }), { status: 'accepted', replayed: false }, 'forgotten once its row is trimmed')
    }
  },
  {
    name: 'keys of folded, trimmed or recalled notifications are kept for 2,000 rows and then forgotten',
    long: true,
    settings: { rateLimit: 1, rateWindowMs: 10, maxEntries: 100, retentionMs: 9_000_000 },
    run: async (t, stage) => {
      await stage.send(1, { keyed: true })
      await stage.send(2, { keyed: true, halfLife: 0.001 })
      await parkedAndRecalled(stage, 3)
      stage.clock.advance(100)
      t.match(await stage.store.advance(stage.user), { folded: 1 })
      const all = async (body: number) => {
        const results = []
        for (const number of [1, 2, 3]) results.push(await stage.send(number, { keyed: true, body }))
        return results.map(({ status }) => status)
      }
      const pass = async (from: number, to: number): Promise<void> => {
        for (let number = from; number <= to; number++) {
          stage.clock.advance(10)
          await stage.send(number)
        }
      }
      await pass(10, 300)
      t.same(await all(0), ['accepted', 'accepted', 'recalled'])
      t.same(await all(7), ['conflict', 'conflict', 'conflict'])
      await pass(301, 2200)
      stage.clock.advance(10)
      t.match(await stage.send(3, { keyed: true, body: 7 }), { status: 'accepted', replayed: false })
      stage.clock.advance(10)
      t.match(await stage.send(2, { keyed: true, body: 7 }), { status: 'accepted', replayed: false })
      stage.clock.advance(10)
      t.match(await stage.send(1, { keyed: true, body: 7 }), { status: 'accepted', replayed: false })
    }
  },
  {
    name: 'a log that is started afresh forgets the keys of the old log, but those of notifications recalled while parked',
    settings: { maxEntries: 2000 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      await stage.send(3, { keyed: true })
      await parkedAndRecalled(stage, 4)
      await stage.attach({ at: 'latest' }, { seen: { epoch, offset: 5000 } })
      t.same(await stage.send(4, { keyed: true }), { status: 'recalled', replayed: true })
      stage.clock.advance(1000)
      t.match(await stage.send(3, { keyed: true }), { status: 'accepted', offset: 1, replayed: false })
    }
  },
  {
    name: 'a half-life keeps all its digits, also over a restart',
    alone: true,
    restarts: true,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { halfLife: 0.2501 })
      await stage.restart()
      stage.clock.advance(1000)
      t.match(await stage.store.advance(stage.user), { released: 1, folded: 0 }, 'worth more than 1/16 for 1,000.4 ms')
      await stage.fill(5, 6)
      await stage.send(7, { halfLife: 0.2499 })
      await stage.restart()
      stage.clock.advance(1000)
      t.match(await stage.store.advance(stage.user), { released: 1, folded: 1 })
      t.equal(rowKind((await stage.log()).rows.at(-1) as Buffer), 'd')
    }
  }
]
