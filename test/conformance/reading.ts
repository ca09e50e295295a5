import { encodeRow, LOST_ID, NO_TAG, rowKind } from '../../services/store/row.ts'
import type { Start } from '../../services/store/store.ts'
import { at, idOf, numbers, texts } from './stage.ts'
import type { Example } from './store.ts'

const free = { rateLimit: 0 }

export const reading: Example[] = [
  {
    name: 'the first attach creates an empty log with an epoch, which stays',
    settings: free,
    run: async (t, stage) => {
      const backlog = await stage.attach({ at: 'device' })
      t.match(backlog, { epoch: /^[0-9a-z]{1,16}$/, top: 0, topId8: '', resumed: false, unread: 0, parked: 0 })
      t.same([backlog.rows, backlog.gap, backlog.states.size], [[], undefined, 0])
      t.same(backlog.start, { epoch: backlog.epoch, offset: 0, id8: '' })
      t.equal(await stage.fill(1, 1), backlog.epoch)
    }
  },
  {
    name: 'attach at a position returns the rows after it, and is resumed',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      const start: Start = { at: 'position', position: await stage.position(1) }
      const backlog = await stage.attach(start)
      t.same(numbers(backlog.rows), [2, 3])
      t.match(backlog, { epoch, top: 3, topId8: (await stage.position(3)).id8, resumed: true, gap: undefined, unread: 3 })
      t.same(backlog.start, await stage.position(1))
    }
  },
  {
    name: 'attach at the newest position returns no rows, at offset 0 all',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      t.match(await stage.attach({ at: 'position', position: await stage.position(3) }), { rows: [], gap: undefined, resumed: true })
      const all = await stage.attach(at(epoch, 0))
      t.same(numbers(all.rows), [1, 2, 3])
      t.equal(all.gap, undefined)
    }
  },
  {
    name: 'attach at earliest and latest',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 12)
      const earliest = await stage.attach({ at: 'earliest' })
      t.same(numbers(earliest.rows), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      t.match(earliest, { start: { offset: 2 }, resumed: false, gap: undefined })
      const latest = await stage.attach({ at: 'latest' })
      t.match(latest, { rows: [], start: await stage.position(12), resumed: false, gap: undefined })
    }
  },
  {
    name: 'limit cuts the rows, not the rest of the backlog',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 5)
      const backlog = await stage.attach({ at: 'earliest' }, { limit: 2 })
      t.same(numbers(backlog.rows), [1, 2])
      t.match(backlog, { top: 5, unread: 5 })
      const position = { epoch, offset: 2, id8: '' }
      t.same(numbers((await stage.store.read({ user: stage.user, position, seen: undefined, limit: 2 })).rows), [3, 4])
    }
  },
  {
    name: 'a limit of 0 returns no rows, and the rest of the backlog',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 5)
      t.match(await stage.attach({ at: 'earliest' }, { limit: 0 }), { rows: [], top: 5, unread: 5, start: { offset: 0 } })
    }
  },
  {
    name: 'bytes end the rows with the one that reaches the bound, also over more rows than a driver reads at once',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 40)
      const { length } = stage.row(1)
      const rowsWithin = async (bytes: number | undefined, limit = 100, offset = 0): Promise<number[]> => {
        const position = { epoch, offset, id8: '' }
        const { rows } = await stage.store.read({ user: stage.user, position, seen: undefined, limit, bytes })
        t.same(numbers((await stage.attach({ at: 'position', position }, { limit, bytes })).rows), numbers(rows), 'an attach as a read')
        return numbers(rows)
      }
      const upTo = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index)
      t.same(await rowsWithin(1), [1], 'at least one row')
      t.same(await rowsWithin(length), [1])
      t.same(await rowsWithin(length + 1), [1, 2])
      t.same(await rowsWithin(2 * length), [1, 2])
      t.same(await rowsWithin(1, 100, 39), [40])
      t.same(await rowsWithin(1, 100, 40), [], 'none after the last')
      t.same(await rowsWithin(1, 0), [], 'none with a limit of 0')
      t.same(await rowsWithin(1_000_000), upTo(1, 40))
      t.same(await rowsWithin(1_000_000, 35), upTo(1, 35))
      t.same(await rowsWithin(undefined), upTo(1, 40))
    }
  },
  {
    name: 'a device starts at its stored cursor; a new one at the highest of all devices, or at the oldest row',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 5)
      t.match(await stage.attach({ at: 'device' }), { start: { offset: 0 }, resumed: false })
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 2, id8: '' })
      await stage.store.ack(stage.user, 'tab', { epoch, offset: 4, id8: '' })
      const known = await stage.attach({ at: 'device' })
      t.match(known, { start: { offset: 2 }, resumed: true, gap: undefined })
      t.same(numbers(known.rows), [3, 4, 5])
      const fresh = await stage.attach({ at: 'device' }, { deviceId: 'watch' })
      t.match(fresh, { start: await stage.position(4), resumed: false, gap: undefined })
      t.same(numbers(fresh.rows), [5])
    }
  },
  {
    name: 'a device whose cursor is below the log gets a gap with the exact range',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 2, id8: '' })
      await stage.fill(3, 24)
      const backlog = await stage.attach({ at: 'device' })
      const floor = backlog.start.offset
      t.same(backlog.gap, { reason: 'trimmed', from: `${epoch}.3`, to: `${epoch}.${floor}`, count: floor - 2 })
      t.equal(numbers(backlog.rows)[0], floor + 1)
      t.match(backlog, { resumed: true, top: 24 })
    }
  },
  {
    name: 'gap: trimmed, from a position; the place just before the oldest row needs none',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      const [first, second] = [await stage.position(1), await stage.position(2)]
      await stage.fill(3, 12)
      t.same((await stage.attach({ at: 'position', position: first })).gap, {
        reason: 'trimmed',
        from: `${epoch}.2`,
        to: `${epoch}.2`,
        count: 1
      })
      t.equal((await stage.attach({ at: 'position', position: second })).gap, undefined)
    }
  },
  {
    name: 'gap: epoch, when the position is of another log',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      const backlog = await stage.attach(at('other1', 2, 'abcdefgh'))
      t.same(backlog.gap, { reason: 'epoch', from: 'other1.2.abcdefgh', to: `${epoch}.0`, count: 0 })
      t.same(numbers(backlog.rows), [1, 2])
      t.match(backlog, { start: { epoch, offset: 0, id8: '' }, resumed: true })
    }
  },
  {
    name: 'gap: ahead, when the position is above the newest row; the log does not change',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      const backlog = await stage.attach(at(epoch, 5))
      t.same(backlog.gap, { reason: 'ahead', from: `${epoch}.3`, to: `${epoch}.5`, count: 3 })
      t.same(numbers(backlog.rows), [1, 2])
      t.match(await stage.send(3), { status: 'accepted', epoch, offset: 3 })
    }
  },
  {
    name: 'gap: fork, when the offset holds another row; without a tag that is not noticed',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      const backlog = await stage.attach(at(epoch, 2, 'abcdefgh'))
      t.same(backlog.gap, { reason: 'fork', from: `${epoch}.2.abcdefgh`, to: `${epoch}.3`, count: 0 })
      t.same(numbers(backlog.rows), [1, 2, 3])
      t.equal((await stage.attach(at(epoch, 2))).gap, undefined)
    }
  },
  {
    name: 'gap: unknown id, and a replay of the retained rows',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      const backlog = await stage.attach({ at: 'unknown' })
      t.same(backlog.gap, { reason: 'unknown_id', from: '', to: `${epoch}.0`, count: 0 })
      t.same(numbers(backlog.rows), [1, 2])
      t.equal(backlog.resumed, true)
    }
  },
  {
    name: 'a recalled row keeps its tag: it is no fork',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 2)
      const position = await stage.position(1)
      const { now } = stage.clock
      stage.clock.advance(10)
      await stage.store.retract(stage.user, idOf(1), '')
      const backlog = await stage.attach({ at: 'position', position })
      t.equal(backlog.gap, undefined)
      t.same(texts((await stage.log()).rows.slice(0, 1)), texts([encodeRow('x', now, idOf(1), NO_TAG, '')]))
    }
  },
  {
    name: 'states: those of the ids that the rows name, unless they are unread',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 4)
      const mark = (number: number, state: 'read' | 'seen' | 'unread') =>
        stage.store.mark({ user: stage.user, target: { ids: [idOf(number)] }, state })
      await mark(1, 'read')
      await mark(2, 'seen')
      await mark(3, 'read')
      await mark(3, 'unread')
      const all = await stage.log()
      t.same(
        [...all.states].sort(),
        [
          [idOf(1), 'read'],
          [idOf(2), 'seen']
        ].sort()
      )
      const tail = await stage.attach(at(epoch, 5))
      t.same([...tail.states], [[idOf(2), 'seen']], 'named by the change at offset 6')
    }
  },
  {
    name: 'fencing: lost rows are marked lost, and no offset is given out twice',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      const backlog = await stage.attach({ at: 'latest' }, { seen: { epoch, offset: 5 } })
      t.match(backlog, { epoch, top: 5, rows: [], gap: undefined, unread: 2 })
      t.match(
        (await stage.attach({ at: 'position', position: await stage.position(5) })).gap,
        undefined,
        'a cursor may stand on a lost row'
      )
      const lost = encodeRow('~', stage.clock.now, LOST_ID, NO_TAG, '').toString()
      t.same(texts((await stage.log()).rows.slice(2)), [lost, lost, lost])
      t.match(await stage.send(6), { status: 'accepted', epoch, offset: 6 })
    }
  },
  {
    name: 'fencing: a client that has lost rows is told, because other rows may have taken the offsets before them',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      const ahead = at(epoch, 5, 'abcdefgh')
      const backlog = await stage.attach(ahead, { seen: { epoch, offset: 5 } })
      t.match(backlog, { epoch, top: 5, start: { offset: 0 }, gap: { reason: 'fork', to: `${epoch}.5` } })
      t.same(numbers(backlog.rows.slice(0, 3)), [1, 2, 3], 'row 3 is not the one it had seen there')
    }
  },
  {
    name: 'fencing: a place of another epoch, or not above the newest row, changes nothing',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      await stage.attach({ at: 'latest' }, { seen: { epoch: 'other1', offset: 50 } })
      await stage.attach({ at: 'latest' }, { seen: { epoch, offset: 2 } })
      t.match(await stage.log(), { epoch, top: 2 })
    }
  },
  {
    name: 'fencing: exactly 1,000 lost rows are fenced off, by a read too',
    settings: { rateLimit: 0, maxEntries: 2000 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      const position = { epoch, offset: 1002, id8: '' }
      const backlog = await stage.store.read({ user: stage.user, position, seen: { epoch, offset: 1002 }, limit: 10 })
      t.match(backlog, { epoch, top: 1002, gap: undefined })
      const log = await stage.log()
      t.equal(log.rows.filter((row) => rowKind(row) === '~').length, 1000)
    }
  },
  {
    name: 'fencing: more than 1,000 lost rows start the log afresh, in a new epoch; parked notifications stay',
    settings: { maxEntries: 2000 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      await stage.send(4, { keyed: true })
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 2, id8: '' })
      const seen = { epoch, offset: 1004 }
      const backlog = await stage.attach(at(epoch, 1004), { seen })
      t.not(backlog.epoch, epoch)
      t.match(backlog, { top: 0, rows: [], unread: 0, parked: 1, gap: { reason: 'epoch' } })
      const device = await stage.attach({ at: 'device' })
      t.match(device.gap, { reason: 'epoch', from: `${epoch}.2`, to: `${backlog.epoch}.0` })
      stage.clock.advance(1000)
      t.match(await stage.store.advance(stage.user), { released: 1 })
      t.match(await stage.send(4, { keyed: true }), { status: 'accepted', epoch: backlog.epoch, offset: 1, replayed: true })
      t.equal(await stage.store.find(stage.user, idOf(1)), undefined)
    }
  }
]
