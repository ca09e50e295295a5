import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { COALESCE_EVERY } from '../../services/store/limits.ts'
import { rowId, type UnreadCounts } from '../../services/store/row.ts'
import type { InboxPage, Store } from '../../services/store/store.ts'
import { marked } from '../conformance/stage.ts'
import { command, type Ground, own } from '../fixtures/redis-ground.ts'

const EARLIEST = { user: 'alice', deviceId: 'd', start: { at: 'earliest' as const }, issuedAt: Date.now(), seen: undefined, limit: 100 }

interface Alice {
  ground: Ground
  client: Redis
  store: Store
  ids: string[]
  meta: string
}

/** Publishes five notifications. */
async function alice(t: Test, overrides = {}): Promise<Alice> {
  const ground = await own(t)
  const { store } = await ground.node(ground.server.url, overrides)
  const commands = Array.from({ length: 5 }, () => command('alice', false))
  for (const each of commands) await store.publish(each)
  const [meta = ''] = ground.keys.ofUser('alice', ['META'])
  return { ground, store, ids: commands.map(({ id }) => id), meta, client: ground.server.client() }
}

function mark(store: Store, ids: (string | undefined)[], state: 'unread' | 'seen' | 'read' | 'archived') {
  return marked(store, { user: 'alice', target: { ids: ids.map(String) }, state })
}

/** Marks as a node of the version before: everything is written but the number of the seen ones. */
async function markAsBefore({ client, meta, store }: Alice, ids: (string | undefined)[], state: 'unread' | 'seen' | 'read') {
  const kept = await client.hget(meta, 's')
  await mark(store, ids, state)
  if (kept === null) await client.hdel(meta, 's')
  else await client.hset(meta, 's', kept)
}

async function countsOf(store: Store): Promise<UnreadCounts> {
  const { unread, unseen } = (await store.inbox({ user: 'alice', states: undefined, before: undefined, limit: 1 })) as InboxPage
  return { unread, unseen }
}

/** Returns how often Redis executed each command during a step. */
async function commandsOf(client: Redis, step: () => Promise<unknown>): Promise<Record<string, number>> {
  await client.config('RESETSTAT')
  await step()
  const stats = await client.info('commandstats')
  return Object.fromEntries([...stats.matchAll(/cmdstat_(\w+):calls=(\d+)/g)].map(([, name = '', calls]) => [name, Number(calls)]))
}

t.test('data without the number of the seen ones are counted once, and the number is kept from then on', async (t) => {
  const before = await alice(t)
  const { client, ids, meta, store } = before
  await markAsBefore(before, [ids[0], ids[1]], 'seen')
  await markAsBefore(before, [ids[2]], 'read')
  t.equal(await client.hget(meta, 's'), null)
  const counted = await commandsOf(client, async () => t.same(await countsOf(store), { unread: 4, unseen: 2 }))
  t.equal(counted.hvals, 1)
  t.type(await client.hget(meta, 's'), 'string')
  const again = await commandsOf(client, async () => t.same(await countsOf(store), { unread: 4, unseen: 2 }))
  t.equal(again.hvals, undefined)
  t.match(await mark(store, [ids[0]], 'read'), { unread: 3, unseen: 2 })
  t.same(await countsOf(store), { unread: 3, unseen: 2 })
})

for (const first of ['mark', 'retract', 'attach', 'read', 'queue', 'trim'] as const) {
  t.test(`data without the number of the seen ones: the first step is ${first}`, async (t) => {
    const before = await alice(t, first === 'trim' ? { maxEntries: 10 } : {})
    const { client, ids, meta, store } = before
    await markAsBefore(before, [ids[0], ids[1], ids[2]], 'seen')
    await markAsBefore(before, [ids[4]], 'read')
    switch (first) {
      case 'mark':
        t.match(await mark(store, [ids[0]], 'archived'), { unread: 3, unseen: 1 })
        break
      case 'retract': {
        await store.retract('alice', ids[0] as string, '')
        const { rows } = await store.read({ user: 'alice', position: { epoch: '', offset: 0, id8: '' }, seen: undefined, limit: 100 })
        t.match(rows.at(-1)?.toString(), '"unread":3,"unseen":1}')
        break
      }
      case 'attach': {
        const connection = { connectionId: 'c', deviceId: 'd', node: '', connectedAt: 1, address: '' }
        const attached = await store.attach({ ...EARLIEST, start: { at: 'latest' }, connections: [connection] })
        t.match(attached, { status: 'attached', backlog: { unread: 4, unseen: 1 } })
        break
      }
      case 'read': {
        const position = { epoch: (await store.queue('alice')).head.epoch, offset: 0, id8: '' }
        await client.hdel(meta, 's')
        t.match(await store.read({ user: 'alice', position, seen: undefined, limit: 0 }), { rows: [], unread: 4, unseen: 1 })
        break
      }
      case 'queue':
        t.match(await store.queue('alice'), { unread: 4, unseen: 1 })
        break
      case 'trim':
        for (let n = 0; n < 7; n++) await store.publish(command('alice', false))
        t.same(await countsOf(store), { unread: 9, unseen: 8 }, 'the two oldest, which were seen, were trimmed')
    }
    const kept = await countsOf(store)
    await client.hdel(meta, 's')
    t.same(await countsOf(store), kept, 'a recount agrees')
  })
}

t.test('while nodes of the version before mark too, the number is counted again after each of their changes', async (t) => {
  const mixed = await alice(t)
  const { ids, store } = mixed
  t.match(await mark(store, [ids[0], ids[1]], 'seen'), { unread: 5, unseen: 3 })
  await markAsBefore(mixed, [ids[0]], 'read')
  t.same(await countsOf(store), { unread: 4, unseen: 3 })
  await markAsBefore(mixed, [ids[2], ids[3]], 'seen')
  t.match(await mark(store, [ids[1]], 'unread'), { unread: 4, unseen: 2 })
  await store.publish(command('alice', false))
  t.same(await countsOf(store), { unread: 5, unseen: 3 })
})

t.test('rows of the version before keep their bytes when later changes supersede a part of them', async (t) => {
  const { client, ground, ids, store } = await alice(t)
  await mark(store, [ids[0], ids[1]], 'seen')
  const [log = ''] = ground.keys.ofUser('alice', ['LOG'])
  const row = (await client.lindex(log, 5)) as string
  const old = row.replace(/,"unseen":\d+/, '')
  await client.lset(log, 5, old)
  for (let n = 0; n < COALESCE_EVERY - 1; n++) await mark(store, [ids[0]], n % 2 === 0 ? 'read' : 'unread')
  t.equal(await client.lindex(log, 5), old.replace(`"${ids[0]}",`, ''))
  const { items } = (await store.inbox({ user: 'alice', states: ['seen'], before: undefined, limit: 9 })) as InboxPage
  t.same(
    items.map((item) => rowId(item.row)),
    [ids[1]]
  )
})

t.test('a user without marks has no field for the number, and a publish, an attach and an ack run no command for it', async (t) => {
  const { client, meta, store } = await alice(t)
  const connection = { connectionId: 'c', deviceId: 'd', node: '', connectedAt: 1, address: '' }
  const attach = () => store.attach({ ...EARLIEST, connections: [connection] })
  const usual = await commandsOf(client, attach)
  t.match(usual, { hmget: 1, llen: 1, exists: 1, hvals: undefined })
  t.match(await commandsOf(client, () => store.attach({ ...EARLIEST, start: { at: 'latest' }, connections: [connection] })), {
    exists: 1,
    hvals: undefined
  })
  const position = { ...(await store.queue('alice')).head }
  t.match(await commandsOf(client, () => store.ack('alice', 'd', position)), { exists: undefined, hvals: undefined })
  t.match(await commandsOf(client, () => store.publish(command('alice', false))), { exists: undefined, hvals: undefined })
  t.equal(await client.hexists(meta, 's'), 0)
})
