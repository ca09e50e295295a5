import { STATES, type State } from '../../services/protocol/index.ts'
import type { InboxQuery } from '../../services/store/store.ts'
import { idOf, marked, numbers, pageOf, type Stage } from './stage.ts'
import type { Example } from './store.ts'

const free = { rateLimit: 0, maxEntries: 1000 }

/** Publishes notifications of these types, numbered from 1. */
async function publishTypes(stage: Stage, types: string[], collapseKey = ''): Promise<void> {
  for (const [index, type] of types.entries()) {
    const tail = `${JSON.stringify({ type, title: '"type":"no.*"', timestamp: 1, data: { type: 'sync.data' } }).slice(1)}`
    await stage.store.publish({ user: stage.user, id: idOf(index + 1), keyed: false, tail, halfLife: 0, options: { collapseKey } })
  }
}

/** Returns the numbers that a query lists, page by page, and how many it counts. */
async function list(stage: Stage, query: Partial<InboxQuery>, limit = 2): Promise<{ pages: number[][]; count: number | undefined }> {
  const pages: number[][] = []
  let before: InboxQuery['before']
  for (;;) {
    const page = await pageOf(stage.store, { user: stage.user, states: undefined, before, limit, isCounted: true, ...query })
    pages.push(numbers(page.items.map(({ row }) => row)))
    if (page.next === undefined) return { pages, count: page.count }
    before = page.next
  }
}

async function markIds(stage: Stage, list: number[], state: State): Promise<void> {
  await marked(stage.store, { user: stage.user, target: { ids: list.map((number) => idOf(number)) }, state })
}

export const listing: Example[] = [
  {
    name: 'inbox: filtered by types and prefixes of types; pages and counts are exact with it',
    settings: free,
    run: async (t, stage) => {
      await publishTypes(stage, ['sync.done', 'deploy', 'sync.failed', 'sync', 'sync.done', 'synced', 'deploy'])
      const types = (...types: string[]) => list(stage, { types })
      t.same(await types('sync.*'), { pages: [[5, 3], [1]], count: 3 })
      t.same(await types('sync.done'), { pages: [[5, 1]], count: 2 })
      t.same(await types('sync'), { pages: [[4]], count: 1 })
      t.same(await types('sync*'), { pages: [[6, 5], [4, 3], [1]], count: 5 })
      t.same(await types('deploy', 'sync.f*'), { pages: [[7, 3], [2]], count: 3 })
      t.same(await types('*'), { pages: [[7, 6], [5, 4], [3, 2], [1]], count: 7 })
      t.same(await types('sync.done.*', 'no.*', 'sync.data', 'Sync*', 'done'), { pages: [[]], count: 0 })
      t.same(await types(), { pages: [[]], count: 0 })
    }
  },
  {
    name: 'inbox: types of any text are matched, also of a notification that replaced another',
    settings: free,
    run: async (t, stage) => {
      const odd = ['a"b', 'a\\b', 'Grüße.1', '😀x', 'a\nb', 'a%d', '.^$', 'a']
      await publishTypes(stage, odd)
      for (const [index, type] of odd.entries()) t.same(await list(stage, { types: [type] }), { pages: [[index + 1]], count: 1 }, type)
      t.same(await list(stage, { types: ['a\\*', 'Grü*', '😀*', '.*'] }, 10), { pages: [[7, 4, 3, 2]], count: 4 })
      t.same(await list(stage, { types: ['a"*', 'a%*'] }, 10), { pages: [[6, 1]], count: 2 })
      await publishTypes(stage, ['sync.old', 'sync.new'], 'key')
      t.same(await list(stage, { types: ['sync.*'] }), { pages: [[2]], count: 1 })
    }
  },
  {
    name: 'inbox: types and states together; a recalled and a trimmed notification is not counted',
    settings: { rateLimit: 0 },
    run: async (t, stage) => {
      await publishTypes(stage, ['a.1', 'b', 'a.2', 'a.1', 'b', 'a.3'])
      await markIds(stage, [1, 2, 3], 'read')
      await markIds(stage, [4], 'seen')
      const both = (states: State[], types: string[]) => list(stage, { states, types })
      t.same(await both(['read'], ['a.*']), { pages: [[3, 1]], count: 2 })
      t.same(await both(['unread', 'seen'], ['a.*']), { pages: [[6, 4]], count: 2 })
      t.same(await both(['archived'], ['a.*']), { pages: [[]], count: 0 })
      t.same(await both(['read', 'unread'], ['b']), { pages: [[5, 2]], count: 2 })
      t.same(await list(stage, { states: ['read'] }, 1), { pages: [[3], [2], [1]], count: 3 }, 'states alone')
      await stage.store.retract(stage.user, idOf(3), '')
      t.same(await both(['read'], ['a.*']), { pages: [[1]], count: 1 })
      await stage.fill(7, 13)
      t.same(await both([...STATES], ['a.*']), { pages: [[6, 4]], count: 2 }, 'the oldest were trimmed')
    }
  },
  {
    name: 'inbox: the count includes all pages, and is there only if it is asked for',
    settings: free,
    run: async (t, stage) => {
      const epoch = await stage.fill(1, 300)
      await markIds(stage, [1, 150, 300], 'read')
      const query = { user: stage.user, states: undefined, before: { epoch, offset: 200 }, limit: 1 }
      t.match(await pageOf(stage.store, { ...query, isCounted: true }), { count: 300, next: { offset: 199 } })
      t.match(await pageOf(stage.store, { ...query, states: ['read'], isCounted: true }), { count: 3, next: { offset: 150 } })
      t.match(await pageOf(stage.store, { ...query, states: ['read'], isCounted: true, limit: 9 }), { count: 3, next: undefined })
      t.notOk('count' in (await pageOf(stage.store, query)))
      t.notOk('count' in (await pageOf(stage.store, { ...query, isCounted: false })))
    }
  },
  {
    name: 'a mark with only marks those of that state, up to a position and by ids, and names them',
    settings: free,
    run: async (t, stage) => {
      const { store, user } = stage
      const epoch = await stage.fill(1, 8)
      await markIds(stage, [1, 2, 7], 'read')
      await markIds(stage, [3], 'archived')
      await markIds(stage, [4], 'seen')
      const upTo = { epoch, offset: 6, id8: '' }
      const mark = async (only: State, state: State) => {
        const { ids } = await marked(store, { user, target: { upTo }, state, only })
        return ids.map((id) => Number(id.slice(1, 8)))
      }
      t.same(await mark('read', 'archived'), [1, 2], 'archive all that are read')
      t.same(await mark('read', 'archived'), [], 'the second time nothing changes')
      t.same((await stage.log()).top, 12, 'and nothing is written')
      await markIds(stage, [1, 2], 'read')
      t.same(await mark('read', 'archived'), [1, 2], 'after the undo')
      t.same(await mark('archived', 'unread'), [1, 2, 3], 'also archived ones, which are named')
      t.same(await mark('unread', 'seen'), [1, 2, 3, 5, 6])
      t.same(await mark('seen', 'seen'), [])
      t.same(await mark('unread', 'read'), [])
      t.same(await mark('read', 'seen'), [])
      t.same(await mark('seen', 'read'), [1, 2, 3, 4, 5, 6])
      t.same(await mark('read', 'seen'), [], 'a read one is never seen again')
      const ids = [6, 7, 8, 9].map((number) => idOf(number))
      t.same(await store.mark({ user, target: { ids }, state: 'read', only: 'unread' }), { ids: [idOf(8)], unread: 0, unseen: 0 })
      t.equal(await store.mark({ user, target: { upTo: { ...upTo, epoch: 'other1' } }, state: 'read', only: 'unread' }), 'restarted')
    }
  },
  {
    name: 'a mark with only that is sent again changes nothing that was marked after it was made',
    settings: free,
    run: async (t, stage) => {
      const { clock, store, user } = stage
      const epoch = await stage.fill(1, 3)
      const archive = (ageMs: number) =>
        store.mark({ user, target: { upTo: { epoch, offset: 3, id8: '' } }, state: 'archived', only: 'read', ageMs })
      await markIds(stage, [1, 2, 3], 'read')
      clock.advance(1000)
      t.same(await archive(0), { ids: [1, 2, 3].map((number) => idOf(number)), unread: 0, unseen: 0 })
      clock.advance(1000)
      await markIds(stage, [2], 'read')
      clock.advance(1000)
      t.same(await archive(2000), { ids: [], unread: 0, unseen: 0 }, 'the undo stays')
    }
  }
]
