import { STATES, type State } from '../../services/protocol/index.ts'
import { answeredIn, digestIn, retractionIn, rowKind, stateChangeIn, type UnreadCounts } from '../../services/store/row.ts'
import { idOf, marked, type Stage } from './stage.ts'
import type { Example } from './store.ts'

const free = { rateLimit: 0 }

async function mark(stage: Stage, list: number[], state: State): Promise<UnreadCounts> {
  const { unread, unseen } = await marked(stage.store, { user: stage.user, target: { ids: list.map((number) => idOf(number)) }, state })
  return { unread, unseen }
}

/** Returns the counts, after checking that all reads of the store agree on them, and that they are a recount of the inbox. */
async function countsOf(stage: Stage): Promise<UnreadCounts> {
  const { user, store } = stage
  const queue = await store.queue(user)
  const page = await store.inbox({ user, states: undefined, before: undefined, limit: 5000 })
  const log = await stage.log()
  if (page === 'restarted') throw new Error('the inbox needs no place')
  const states = page.items.map(({ state }) => state)
  const unseen = states.filter((state) => state === 'unread').length
  const unread = unseen + states.filter((state) => state === 'seen').length
  for (const told of [queue, page, log]) {
    if (told.unread !== unread || told.unseen !== unseen) {
      throw new Error(`told ${told.unread} unread, ${told.unseen} unseen; a recount gives ${unread} and ${unseen}`)
    }
  }
  return { unread, unseen }
}

function countsIn(row: Buffer): UnreadCounts | undefined {
  const read = { s: stateChangeIn, r: retractionIn, a: answeredIn, d: digestIn }[rowKind(row) as string]
  if (read === undefined) return undefined
  const { unread, unseen } = read(row)
  return { unread, unseen }
}

/** Returns the counts of the newest row. */
async function told(stage: Stage): Promise<UnreadCounts | undefined> {
  return countsIn((await stage.log()).rows.at(-1) as Buffer)
}

export const counting: Example[] = [
  {
    name: 'unseen counts the notifications that are unread, unread those that are seen too: in every answer and every row',
    settings: free,
    run: async (t, stage) => {
      t.same(await countsOf(stage), { unread: 0, unseen: 0 }, 'of an unknown user')
      await stage.fill(1, 5)
      t.same(await countsOf(stage), { unread: 5, unseen: 5 })
      t.same(await mark(stage, [1, 2, 3], 'seen'), { unread: 5, unseen: 2 })
      t.same(await told(stage), { unread: 5, unseen: 2 })
      t.same(await mark(stage, [1], 'read'), { unread: 4, unseen: 2 })
      t.same(await mark(stage, [2], 'unread'), { unread: 4, unseen: 3 })
      t.same(await mark(stage, [4], 'archived'), { unread: 3, unseen: 2 })
      t.same(await countsOf(stage), { unread: 3, unseen: 2 })
      t.match(await stage.attach({ at: 'earliest' }), { unread: 3, unseen: 2 })
      t.match(await stage.attach({ at: 'latest' }), { unread: 3, unseen: 2, rows: [] })
    }
  },
  {
    name: 'unseen follows from any state to any other',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      let number = 0
      for (const from of STATES) {
        for (const to of STATES) {
          number += 1
          await stage.send(number)
          await mark(stage, [number], from)
          t.same(await mark(stage, [number], to), await countsOf(stage), `${from} to ${to}`)
        }
      }
    }
  },
  {
    name: 'a recall takes a seen notification out of unread only',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await mark(stage, [1, 2], 'seen')
      await stage.store.retract(stage.user, idOf(1), 'recalled')
      t.same(await told(stage), { unread: 2, unseen: 1 })
      await stage.store.retract(stage.user, idOf(3), 'recalled')
      t.same(await told(stage), { unread: 1, unseen: 0 })
      t.same(await countsOf(stage), { unread: 1, unseen: 0 })
    }
  },
  {
    name: 'a notification that replaces a seen one is unseen',
    settings: free,
    run: async (t, stage) => {
      const options = { collapseKey: 'a' }
      await stage.send(1, { options })
      await stage.send(2)
      await mark(stage, [1, 2], 'seen')
      await stage.send(3, { options })
      t.same(await countsOf(stage), { unread: 2, unseen: 1 })
      await stage.send(4, { options })
      t.same(await countsOf(stage), { unread: 2, unseen: 1 })
    }
  },
  {
    name: 'an answer to a seen notification takes it out of unread only; an expiry of one too',
    settings: free,
    run: async (t, stage) => {
      const { user, clock } = stage
      await stage.send(1, { options: { actions: ['yes'] } })
      await stage.send(2, { options: { actions: ['yes'] } })
      await stage.send(3, { options: { expiresAt: clock.now + 1000 } })
      await stage.send(4, { options: { expiresAt: clock.now + 1000 } })
      await mark(stage, [1, 3], 'seen')
      await stage.store.answer({ user, id: idOf(1), action: 'yes', deviceId: 'phone' })
      t.same(await told(stage), { unread: 3, unseen: 2 })
      await stage.store.answer({ user, id: idOf(2), action: 'yes', deviceId: 'phone' })
      t.same(await told(stage), { unread: 2, unseen: 1 })
      clock.advance(1000)
      await stage.store.advance(user)
      t.same(await told(stage), { unread: 0, unseen: 0 })
      t.same(await countsOf(stage), { unread: 0, unseen: 0 })
    }
  },
  {
    name: 'trimming by count and by age takes seen notifications out of unread only, and tells the devices',
    settings: { rateLimit: 0, retentionMs: 10_000 },
    run: async (t, stage) => {
      await stage.attach({ at: 'latest' })
      await stage.fill(1, 4)
      await mark(stage, [1, 2], 'seen')
      await stage.fill(5, 11)
      t.same(await countsOf(stage), { unread: 11, unseen: 9 })
      await stage.send(12)
      t.same(await countsOf(stage), { unread: 10, unseen: 10 })
      const counts = (await stage.log()).rows.map(countsIn).filter((found) => found !== undefined)
      t.same(counts.at(-1), { unread: 9, unseen: 9 }, 'the row that the trim appended, before the notification')
      await mark(stage, [3, 4, 5], 'seen')
      stage.clock.advance(5000)
      await stage.fill(13, 13)
      await mark(stage, [13], 'seen')
      stage.clock.advance(5000)
      t.same(await countsOf(stage), { unread: 1, unseen: 0 })
      t.same(await told(stage), { unread: 1, unseen: 0 })
    }
  },
  {
    name: 'a digest tells both counts',
    settings: { rateLimit: 2 },
    run: async (t, stage) => {
      await stage.send(1)
      await stage.send(2)
      await mark(stage, [1], 'seen')
      await stage.send(3, { halfLife: 1 })
      stage.clock.advance(5000)
      await stage.store.advance(stage.user)
      t.same(await told(stage), { unread: 2, unseen: 1 })
      t.same(await countsOf(stage), { unread: 2, unseen: 1 })
    }
  },
  {
    name: 'after an erasure, and after a log that started afresh, nothing is counted as seen',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 3)
      await mark(stage, [1, 2], 'seen')
      await stage.attach({ at: 'latest' }, { seen: { epoch, offset: 1_000_000 } })
      t.same(await countsOf(stage), { unread: 0, unseen: 0 })
      await stage.fill(4, 6)
      t.same(await countsOf(stage), { unread: 3, unseen: 3 })
      t.same(await mark(stage, [4], 'seen'), { unread: 3, unseen: 2 })
      await stage.store.erase(stage.user)
      t.same(await countsOf(stage), { unread: 0, unseen: 0 })
      await stage.fill(7, 8)
      t.same(await mark(stage, [8], 'seen'), { unread: 2, unseen: 1 })
      t.same(await countsOf(stage), { unread: 2, unseen: 1 })
    }
  },
  {
    name: 'after a restart the counts are the same',
    settings: free,
    alone: true,
    restarts: true,
    run: async (t, stage) => {
      await stage.fill(1, 4)
      await mark(stage, [1, 2], 'seen')
      await mark(stage, [2], 'read')
      await stage.restart()
      t.same(await countsOf(stage), { unread: 3, unseen: 2 })
      t.same(await mark(stage, [1, 3], 'archived'), { unread: 1, unseen: 1 })
    }
  },
  {
    name: 'nodes count on from each other',
    settings: free,
    nodes: 2,
    run: async (t, stage) => {
      await stage.fill(1, 2)
      t.same(await mark(stage, [1, 2], 'seen'), { unread: 2, unseen: 0 })
      const other = await stage.other.mark({ user: stage.user, target: { ids: [idOf(1)] }, state: 'unread' })
      t.match(other, { unread: 2, unseen: 1 }, 'another node counts on')
      t.same(await countsOf(stage), { unread: 2, unseen: 1 })
    }
  }
]
