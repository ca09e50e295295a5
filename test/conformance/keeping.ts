import { MAX_CHANGES } from '../../services/store/limits.ts'
import { COUNT_ID, encodeRow, NO_TAG, rowKind, stateChangeIn, tails } from '../../services/store/row.ts'
import { until } from '../fixtures/wait.ts'
import { idOf, numbers, pageOf, type Stage, texts } from './stage.ts'
import type { Example } from './store.ts'

const free = { rateLimit: 0 }

async function toggle(stage: Stage, list: number[], times: number): Promise<void> {
  const ids = list.map((number) => idOf(number))
  for (let n = 0; n < times; n++) {
    await stage.store.mark({ user: stage.user, target: { ids }, state: n % 2 === 0 ? 'read' : 'unread' })
  }
}

function countRow(ms: number, unread: number): string {
  return encodeRow('s', ms, COUNT_ID, NO_TAG, tails.state([], 'read', { unread, unseen: unread })).toString()
}

/** Retention: the rows that stay in a log, the rows that are trimmed, and what the devices are told about it. */
export const keeping: Example[] = [
  {
    name: 'changes of state do not push notifications out, and offsets stay gapless',
    long: true,
    settings: { rateLimit: 0, maxEntries: 100 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 100)
      await toggle(stage, [1], 300)
      const log = await stage.log()
      t.match(log, { epoch, top: 400, start: { offset: 0 }, gap: undefined, unread: 100 })
      t.equal(log.rows.length, 400)
      t.equal(log.rows.filter((row) => rowKind(row) === 'n').length, 100)
      const page = await pageOf(stage.store, { user: stage.user, states: undefined, before: undefined, limit: 1000 })
      t.equal(page.items.length, 100)
    }
  },
  {
    name: 'superseded changes are emptied: each id stays in the newest row that names it',
    long: true,
    settings: { rateLimit: 0, maxEntries: 100 },
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.store.mark({ user: stage.user, target: { ids: [idOf(1), idOf(2)] }, state: 'seen' })
      await toggle(stage, [1], 127)
      const { rows, states } = await stage.log()
      t.equal(rows.filter((row) => rowKind(row) === '-').length, 126)
      const changes = rows.filter((row) => rowKind(row) === 's')
      t.same(changes.map(stateChangeIn), [
        { ids: [idOf(2)], state: 'seen', unread: 3, unseen: 1 },
        { ids: [idOf(1)], state: 'read', unread: 2, unseen: 1 }
      ])
      t.same([...states].sort(), [
        [idOf(1), 'read'],
        [idOf(2), 'seen']
      ])
      t.match(await stage.attach({ at: 'position', position: await stage.position(50) }), { gap: undefined }, 'a cursor may stand on it')
    }
  },
  {
    name: 'changes have a bound of their own: a tenth above it, the oldest rows are trimmed',
    settings: { rateLimit: 0, maxEntries: 10 },
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      const lose = (offset: number) => stage.attach({ at: 'latest' }, { seen: { epoch, offset } })
      for (let lost = 1000; lost <= MAX_CHANGES; lost += 1000) await lose(3 + lost)
      await lose(3 + MAX_CHANGES + MAX_CHANGES / 10)
      await stage.send(4)
      t.match(await stage.store.queue(stage.user), { first: { offset: 1 }, head: { offset: 4 + MAX_CHANGES * 1.1 }, unread: 4 })
      t.match(await stage.store.mark({ user: stage.user, target: { ids: [idOf(4)] }, state: 'read' }), { ids: [idOf(4)], unread: 0 })
      const { first, head, unread } = await stage.store.queue(stage.user)
      t.equal(unread, 0)
      t.equal(head.offset - first.offset + 1, MAX_CHANGES + 2, 'a notification, the row that tells the count, and the bound')
    }
  },
  {
    name: 'trimming by count tells the devices in a row of its own, before the row that needed the room',
    settings: free,
    run: async (t, stage) => {
      await stage.attach({ at: 'latest' })
      await stage.fill(1, 11)
      t.match(await stage.send(12), { status: 'accepted', offset: 13 })
      const { rows, unread } = await stage.log()
      t.equal(unread, 10)
      t.same(texts(rows.slice(-2)), [countRow(stage.clock.now, 9), stage.row(12).toString()])
      await until(() => stage.wakes().length === 13, 'a wake-up for each')
    }
  },
  {
    name: 'trimming appends no row if the count stays, or if no connection is registered',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 12)
      t.match(await stage.log(), { top: 12, unread: 10 })
      await stage.attach({ at: 'latest' })
      await stage.store.mark({ user: stage.user, target: { ids: [3, 4].map((number) => idOf(number)) }, state: 'read' })
      await stage.fill(13, 14)
      const { rows, top, unread } = await stage.log()
      t.match({ top, unread }, { top: 15, unread: 10 })
      t.equal(rows.filter((row) => rowKind(row) === 's').length, 1, 'the mark')
    }
  },
  {
    name: 'a step trims first: the row of a mark and its result have the same count, which is that of the retained rows',
    settings: { rateLimit: 0, retentionMs: 10_000 },
    run: async (t, stage) => {
      await stage.attach({ at: 'latest' })
      await stage.fill(1, 3)
      stage.clock.advance(5000)
      await stage.fill(4, 8)
      stage.clock.advance(5000)
      const answer = await stage.store.mark({ user: stage.user, target: { ids: [1, 5].map((number) => idOf(number)) }, state: 'read' })
      t.same(answer, { ids: [idOf(5)], unread: 4, unseen: 4 })
      const { rows, unread } = await stage.log()
      t.equal(unread, 4)
      const told = rows.filter((row) => rowKind(row) === 's').map((row) => stateChangeIn(row).unread)
      t.same(told, [5, 4])
    }
  },
  {
    name: 'trimming by age in a read tells the devices; the backlog says when the next row expires',
    settings: { rateLimit: 0, retentionMs: 10_000 },
    run: async (t, stage) => {
      t.match(await stage.attach({ at: 'latest' }), { expiresInMs: 0 })
      const epoch = await stage.fill(1, 2)
      stage.clock.advance(4000)
      await stage.send(3)
      const read = (offset: number) =>
        stage.store.read({ user: stage.user, position: { epoch, offset, id8: '' }, seen: undefined, limit: 10 })
      t.equal((await read(3)).expiresInMs, 6000)
      stage.clock.advance(6000)
      const backlog = await read(3)
      t.match(backlog, { top: 4, unread: 1, expiresInMs: 4000, gap: undefined })
      t.same(texts(backlog.rows), [countRow(stage.clock.now, 1)])
      await until(() => stage.wakes().length === 4, 'a wake-up for it')
      stage.clock.advance(4000)
      t.match(await stage.store.queue(stage.user), { unread: 0, head: { offset: 5 } })
      stage.clock.advance(10_000)
      t.match(
        await stage.store.queue(stage.user),
        { unread: 0, first: { offset: 0 }, head: { offset: 5 } },
        'rows that count nothing go in silence'
      )
    }
  },
  {
    name: 'a recall of a notification that its own step trims finds nothing',
    settings: { rateLimit: 0, retentionMs: 10_000 },
    run: async (t, stage) => {
      await stage.fill(1, 2)
      stage.clock.advance(10_000)
      t.equal(await stage.store.retract(stage.user, idOf(1), ''), 'unknown')
      t.same(numbers((await stage.log()).rows), [])
    }
  }
]
