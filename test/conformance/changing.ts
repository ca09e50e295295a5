import { STATES, type State } from '../../services/protocol/index.ts'
import { encodeRow, NO_TAG, rowId, tails } from '../../services/store/row.ts'
import type { LogPlace } from '../../services/store/store.ts'
import { until } from '../fixtures/wait.ts'
import { idOf, marked, numbers, pageOf, type Stage, texts, untagged } from './stage.ts'
import type { Example } from './store.ts'

const free = { rateLimit: 0 }

async function markIds(stage: Stage, list: number[], state: State): Promise<{ ids: string[]; unread: number }> {
  return await marked(stage.store, { user: stage.user, target: { ids: list.map((number) => idOf(number)) }, state })
}

async function stateOf(stage: Stage, number: number): Promise<State | undefined> {
  const found = await stage.store.find(stage.user, idOf(number))
  return found?.in === 'log' ? found.item.state : undefined
}

export const changing: Example[] = [
  {
    name: 'an ack moves the cursor of a device forward only, and stores the time',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 5)
      const third = await stage.position(3)
      await stage.store.ack(stage.user, 'phone', third)
      const { now } = stage.clock
      stage.clock.advance(10)
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 2, id8: '' })
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 3, id8: '' })
      t.same((await stage.store.queue(stage.user)).devices, [{ deviceId: 'phone', position: third, lag: 2, at: now }])
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 5, id8: '' })
      t.match((await stage.store.queue(stage.user)).devices, [{ lag: 0, at: now + 10 }])
    }
  },
  {
    name: 'an ack above the newest row, or of another epoch, is ignored',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 3, id8: '' })
      await stage.store.ack(stage.user, 'phone', { epoch: 'other1', offset: 1, id8: '' })
      t.same((await stage.store.queue(stage.user)).devices, [])
    }
  },
  {
    name: 'an ack moves the cursor of its device only, and wakes no node',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 2)
      await stage.attach({ at: 'latest' })
      await stage.store.ack(stage.user, 'phone', { epoch, offset: 2, id8: '' })
      await stage.store.ack(stage.user, 'tab', { epoch, offset: 1, id8: '' })
      const { devices } = await stage.store.queue(stage.user)
      t.same(
        devices.map(({ deviceId, lag }) => [deviceId, lag]),
        [
          ['phone', 0],
          ['tab', 1]
        ]
      )
      await stage.send(3)
      await until(() => stage.wakes().length > 0, 'the wake-up of 3')
      t.equal(stage.wakes()[0]?.offset, 3)
    }
  },
  {
    name: '20 cursors are kept; one more evicts the least recently used',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 5)
      for (let device = 0; device < 20; device++) {
        await stage.store.ack(stage.user, `device-${String(device).padStart(2, '0')}`, { epoch, offset: 1, id8: '' })
        stage.clock.advance(10)
      }
      await stage.store.ack(stage.user, 'device-00', { epoch, offset: 2, id8: '' })
      stage.clock.advance(10)
      await stage.store.ack(stage.user, 'one-more', { epoch, offset: 1, id8: '' })
      const names = (await stage.store.queue(stage.user)).devices.map(({ deviceId }) => deviceId)
      t.equal(names.length, 20)
      t.notOk(names.includes('device-01'))
      t.ok(names.includes('device-00') && names.includes('one-more'))
    }
  },
  {
    name: 'mark by id changes the states, appends a row that names the ids, and keeps unread exact',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      t.same(await markIds(stage, [3, 1], 'read'), { ids: [idOf(3), idOf(1)], unread: 1, unseen: 1 })
      const { rows, unread } = await stage.log()
      const row = rows[3] as Buffer
      t.match(rowId(row), /^[\w-]{20}$/)
      t.same(
        texts([row]),
        texts([encodeRow('s', stage.clock.now, rowId(row), NO_TAG, tails.state([idOf(3), idOf(1)], 'read', { unread: 1, unseen: 1 }))])
      )
      t.equal(unread, 1)
    }
  },
  {
    name: 'mark by id goes from any state to any other, but never down to seen',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      let number = 0
      for (const from of STATES) {
        for (const to of STATES) {
          number += 1
          await stage.send(number)
          await markIds(stage, [number], from)
          const before = (await stage.store.queue(stage.user)).unread
          const { ids, unread } = await markIds(stage, [number], to)
          const changes = from !== to && (to !== 'seen' || from === 'unread')
          t.equal(ids.length, changes ? 1 : 0, `${from} to ${to}`)
          const after = changes ? to : from
          t.equal(await stateOf(stage, number), after)
          const counts = (state: State): number => (state === 'unread' || state === 'seen' ? 1 : 0)
          t.equal(unread, before - counts(from) + counts(after), `unread, ${from} to ${to}`)
        }
      }
    }
  },
  {
    name: 'mark ignores unknown, repeated and unchanged ids; without a change nothing is written',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 2)
      t.same(await markIds(stage, [1, 9, 1], 'read'), { ids: [idOf(1)], unread: 1, unseen: 1 })
      t.same(await markIds(stage, [1, 9], 'read'), { ids: [], unread: 1, unseen: 1 })
      t.same(await markIds(stage, [], 'archived'), { ids: [], unread: 1, unseen: 1 })
      t.equal((await stage.log()).top, 3)
    }
  },
  {
    name: 'mark up to a position only raises, or lowers to unread, and leaves archived ones alone',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      for (const to of STATES) {
        const first = (await stage.log()).top + 1
        for (let index = 0; index < 5; index++) await stage.send(first + index)
        for (const [index, state] of STATES.entries()) await markIds(stage, [first + index], state)
        const { epoch } = await stage.log()
        await markIds(stage, [], to)
        const target = { upTo: { epoch, offset: first + 3, id8: '' } }
        const { ids } = await marked(stage.store, { user: stage.user, target, state: to })
        const expected = { unread: [1, 2], seen: [0], read: [0, 1], archived: [0, 1, 2] }[to]
        const own = ids.filter((id) => id >= idOf(first))
        t.same(
          own,
          expected.map((index) => idOf(first + index)),
          to
        )
        t.equal(await stateOf(stage, first + 4), 'unread', 'after the position')
      }
    }
  },
  {
    name: 'mark up to a position above the newest row marks all',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      const upTo = { epoch, offset: 99, id8: '' }
      t.same(await stage.store.mark({ user: stage.user, target: { upTo }, state: 'read' }), {
        ids: [idOf(1), idOf(2), idOf(3)],
        unread: 0,
        unseen: 0
      })
    }
  },
  {
    name: 'a mark that is sent late, or again, does not change notifications that were marked after it was made',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 4)
      const mark = (what: { ids: string[] } | number, state: State, ageMs?: number) => {
        const target = typeof what === 'number' ? { upTo: { epoch, offset: what, id8: '' } } : { ids: what.ids }
        return stage.store.mark({ user: stage.user, target, state, ageMs })
      }
      const ids = (...list: number[]) => ({ ids: list.map((number) => idOf(number)) })
      stage.clock.advance(1000)
      t.same(await mark(ids(1), 'read'), { ids: [idOf(1)], unread: 3, unseen: 3 })
      stage.clock.advance(1000)
      t.same(await mark(ids(1), 'unread'), { ids: [idOf(1)], unread: 4, unseen: 4 })
      stage.clock.advance(1000)
      const { top } = await stage.log()
      t.same(await mark(ids(1), 'read', 1001), { ids: [], unread: 4, unseen: 4 }, 'another device marked it a second ago')
      t.equal((await stage.log()).top, top, 'nothing is written')
      t.same(await mark(ids(1, 2), 'read', 1500), { ids: [idOf(2)], unread: 3, unseen: 3 }, 'the others are marked')
      t.same(await mark(ids(2), 'archived', 1), { ids: [], unread: 3, unseen: 3 }, 'its own change, a moment ago, counts as later too')
      t.same(await mark(4, 'archived', 2500), { ids: [idOf(3), idOf(4)], unread: 1, unseen: 1 }, 'all up to a position but those')
      t.same(await Promise.all([1, 2, 3].map((number) => stateOf(stage, number))), ['unread', 'read', 'archived'])
      t.same(
        await mark(ids(1), 'read', 1000),
        { ids: [idOf(1)], unread: 0, unseen: 0 },
        'made in the same millisecond: the last one decides'
      )
      t.same(await mark(ids(1), 'unread', 0), { ids: [idOf(1)], unread: 1, unseen: 1 })
      for (let number = 5; number < 300; number++) await stage.send(number)
      stage.clock.advance(1)
      t.same(await mark(ids(1), 'read', 5000), { ids: [], unread: 296, unseen: 296 }, 'also with many rows between')
      t.same(await mark(ids(1), 'read', 2 ** 53 - 1), { ids: [], unread: 296, unseen: 296 })
    }
  },
  {
    name: 'a parked notification cannot be marked',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4)
      t.same(await markIds(stage, [4], 'read'), { ids: [], unread: 3, unseen: 3 })
    }
  },
  {
    name: 'retract from the log empties the row, appends a retraction, and keeps unread exact',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      const { now } = stage.clock
      stage.clock.advance(10)
      t.equal(await stage.store.retract(stage.user, idOf(2), 'a "mistake"\n'), 'retracted')
      const { rows, unread } = await stage.log()
      t.same(texts(rows.slice(1, 2)), texts([encodeRow('x', now, idOf(2), NO_TAG, '')]))
      const row = rows[3] as Buffer
      t.same(
        texts([row]),
        texts([encodeRow('r', now + 10, rowId(row), NO_TAG, tails.retract(2, idOf(2), 'a "mistake"\n', { unread: 2, unseen: 2 }, ''))])
      )
      t.equal(unread, 2)
      t.equal(await stage.store.find(stage.user, idOf(2)), undefined)
    }
  },
  {
    name: 'retract of a read notification leaves unread as it is, and removes its state',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 2)
      await markIds(stage, [1], 'read')
      t.equal(await stage.store.retract(stage.user, idOf(1), ''), 'retracted')
      const log = await stage.log()
      t.equal(log.unread, 1)
      t.equal(log.states.size, 0)
      t.same(await markIds(stage, [1], 'archived'), { ids: [], unread: 1, unseen: 1 })
    }
  },
  {
    name: 'a retracted parked notification is never released, and those behind it move up',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      for (const number of [4, 5, 6, 7]) await stage.send(number)
      t.match(await stage.store.find(stage.user, idOf(7)), { in: 'parked', releaseAt: stage.clock.now + 2000 })
      t.equal(await stage.store.retract(stage.user, idOf(5), ''), 'unparked')
      t.match(await stage.store.find(stage.user, idOf(7)), { in: 'parked', releaseAt: stage.clock.now + 1000 })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.same(numbers((await stage.log()).rows), [1, 2, 3, 4, 6, 7])
    }
  },
  {
    name: 'retract of an unknown, retracted, trimmed or folded notification',
    run: async (t, stage) => {
      t.equal(await stage.store.retract(stage.user, idOf(9), ''), 'unknown')
      await stage.fill(1, 3)
      t.equal(await stage.store.retract(stage.user, idOf(9), ''), 'unknown')
      t.equal(await stage.store.retract(stage.user, idOf(1), ''), 'retracted')
      t.equal(await stage.store.retract(stage.user, idOf(1), ''), 'unknown')
      await stage.send(4, { halfLife: 1 })
      stage.clock.advance(5000)
      await stage.store.advance(stage.user)
      t.equal(await stage.store.retract(stage.user, idOf(4), ''), 'folded')
      stage.clock.advance(stage.settings.retentionMs)
      t.equal(await stage.store.retract(stage.user, idOf(2), ''), 'unknown')
    }
  },
  {
    name: 'inbox: newest first, in pages, notifications only',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 5)
      await markIds(stage, [2], 'read')
      await stage.store.retract(stage.user, idOf(4), '')
      const page = (before: LogPlace | undefined, limit: number) =>
        pageOf(stage.store, { user: stage.user, states: undefined, before, limit })
      const first = await page(undefined, 2)
      t.same(numbers(first.items.map(({ row }) => row)), [5, 3])
      const [newest] = first.items.map((item) => ({ ...item, row: untagged(item.row) }))
      t.same(newest, { epoch, offset: 5, row: stage.row(5), state: 'unread' })
      t.match(first, { next: { epoch, offset: 3 }, unread: 3 })
      const second = await page(first.next, 2)
      t.same(
        second.items.map(({ offset, state }) => [offset, state]),
        [
          [2, 'read'],
          [1, 'unread']
        ]
      )
      t.equal(second.next, undefined)
      t.match(await page({ epoch, offset: 1 }, 2), { items: [], next: undefined })
      const other = { user: stage.user, states: undefined, before: { epoch: 'other1', offset: 3 }, limit: 2 }
      t.equal(await stage.store.inbox(other), 'restarted', 'a place in another log names other rows')
    }
  },
  {
    name: 'inbox: filtered by state; the last page has no next',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 6)
      await markIds(stage, [1, 2], 'read')
      await markIds(stage, [3], 'archived')
      await markIds(stage, [4], 'seen')
      const list = async (states: State[], limit = 10) => {
        const { items, next } = await pageOf(stage.store, { user: stage.user, states, before: undefined, limit })
        return [numbers(items.map(({ row }) => row)), next?.offset]
      }
      t.same(await list(['unread']), [[6, 5], undefined])
      t.same(await list(['seen', 'archived']), [[4, 3], undefined])
      t.same(await list(['read'], 2), [[2, 1], undefined])
      t.same(await list(['read'], 1), [[2], 2])
      t.same(await list([]), [[], undefined])
    }
  },
  {
    name: 'mark up to a position of another log changes nothing, and resolves with restarted',
    settings: free,
    run: async (t, stage) => {
      const upTo = { epoch: 'other1', offset: 2, id8: '' }
      t.equal(await stage.store.mark({ user: stage.user, target: { upTo }, state: 'read' }), 'restarted', 'of an unknown user')
      await stage.fill(1, 3)
      t.equal(await stage.store.mark({ user: stage.user, target: { upTo }, state: 'read' }), 'restarted')
      t.match(await stage.log(), { top: 3, unread: 3 })
    }
  },
  {
    name: 'the inbox of an unknown user is empty',
    run: async (t, stage) => {
      t.same(await pageOf(stage.store, { user: stage.user, states: undefined, before: undefined, limit: 10 }), {
        items: [],
        next: undefined,
        unread: 0,
        unseen: 0
      })
    }
  },
  {
    name: 'find: in the log, parked, in a digest, nowhere',
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      await stage.send(4, { halfLife: 1 })
      const published = stage.clock.now
      const found = await stage.store.find(stage.user, idOf(2))
      t.match(found, { in: 'log', item: { epoch, offset: 2, state: 'unread' } })
      t.same(found?.in === 'log' && untagged(found.item.row), stage.row(2))
      stage.clock.advance(10)
      t.same(await stage.store.find(stage.user, idOf(4)), { in: 'parked', row: stage.row(4, published), releaseAt: published + 1000 })
      stage.clock.advance(5000)
      await stage.store.advance(stage.user)
      t.same(await stage.store.find(stage.user, idOf(4)), { in: 'digest', position: await stage.position(4) })
      t.equal(await stage.store.find(stage.user, idOf(9)), undefined)
    }
  },
  {
    name: 'queue: of an unknown user, and of a log in use',
    run: async (t, stage) => {
      const nothing = { epoch: '', offset: 0, id8: '' }
      t.same(await stage.store.queue(stage.user), {
        head: nothing,
        first: nothing,
        parked: 0,
        scheduled: 0,
        unread: 0,
        unseen: 0,
        devices: []
      })
      await stage.fill(1, 3)
      await stage.send(4)
      t.same(await stage.store.queue(stage.user), {
        head: await stage.position(3),
        first: await stage.position(1),
        parked: 1,
        scheduled: 0,
        unread: 3,
        unseen: 3,
        devices: []
      })
    }
  },
  {
    name: 'a caller may change a result: the store does not share it',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 2)
      const log = await stage.log()
      const before = texts(log.rows)
      log.rows.length = 0
      log.states.set(idOf(1), 'read')
      const again = await stage.log()
      t.same(texts(again.rows), before)
      t.equal(again.states.size, 0)
    }
  }
]
