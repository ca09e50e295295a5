import t from 'tap'
import { META_TTL_MS } from '../../services/store/limits.ts'
import { bucketOf, type UserKey } from '../../services/store/redis/keys.ts'
import type { LeasedCall, PublishOptions, PushSubscription, ReachRule, StoreSettings } from '../../services/store/store.ts'
import { command, own } from '../fixtures/redis-ground.ts'
import { scriptCommands } from '../fixtures/script-commands.ts'
import { until } from '../fixtures/wait.ts'

const settings: Partial<StoreSettings> = {
  push: { afterMs: 0, unless: 'delivered' },
  webhookEvents: ['notification.fallback', 'notification.answered', 'notification.expired']
}
const fallback: ReachRule = { afterMs: 0, unless: 'read' }
const OUTBOX_KEYS: UserKey[] = ['CHECKS', 'CALLS', 'CALL_TIMES', 'SUBSCRIPTIONS']

function subscriptionOf(deviceId: string): PushSubscription {
  return { deviceId, endpoint: 'https://push.test/1', p256dh: 'p', auth: 'a', expirationTime: 0, lane: 'fcm' }
}

t.test('without push subscriptions and a fallback a notification costs what it costs where neither is configured', async (t) => {
  const { server, node } = await own(t)
  const { store } = await node(undefined, settings)
  const commandsOf = await scriptCommands(t, server, 'alice')
  const publish = (options?: PublishOptions) => commandsOf(() => store.publish({ ...command('alice', false), options }))
  const usual = 'hkeys hmget hset rpush'
  await publish()
  t.equal(await publish(), usual)
  await publish({ fallback: { afterMs: 60_000, unless: 'read' } })
  t.equal(await publish(), usual, 'also while a check waits')
  await store.erase('alice')
  await publish({ fallback })
  await store.advance('alice')
  const { calls } = await store.outbox.lease({ lane: 'webhook', limit: 10, user: 'alice' })
  for (const { user, epoch, no, madeAt, attempt } of calls)
    await store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome: { status: 'done' } })
  t.equal(calls.length, 1)
  t.equal(await publish({ level: 1 }), usual, 'and with options, when there is a receipt')
})

t.test('every key of the outbox expires with the others of the user, and nothing is left of what is settled', async (t) => {
  const { server, keys, node } = await own(t)
  const { store } = await node(undefined, settings)
  const admin = server.admin()
  await store.outbox.putSubscription('alice', subscriptionOf('phone'))
  await store.publish({ ...command('alice'), options: { fallback: { afterMs: 60_000, unless: 'read' } } })
  await store.publish({ ...command('alice'), options: { fallback } })
  await store.advance('alice')
  const names = keys.ofUser('alice', OUTBOX_KEYS)
  for (const key of names) t.ok((await admin.pttl(key)) > META_TTL_MS - 60_000, key)
  for (const key of await admin.keys('*:alice')) t.ok((await admin.pttl(key)) > 0, key)
  t.equal(await admin.zcard(keys.callers('fcm')[bucketOf('alice')] as string), 1)
  const calls: LeasedCall[] = []
  for (const lane of ['fcm', 'webhook']) calls.push(...(await store.outbox.lease({ lane, limit: 10, user: 'alice' })).calls)
  t.equal(calls.length, 3)
  for (const { user, epoch, no, madeAt, attempt } of calls)
    await store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome: { status: 'done' } })
  await store.outbox.deleteSubscription('alice', 'phone')
  await store.retract('alice', '', '')
  t.same(await Promise.all(names.map((key) => admin.exists(key))), [1, 0, 0, 0], 'the check of the first notification')
  const [receipts = ''] = keys.ofUser('alice', ['RECEIPTS'])
  t.equal(await admin.zcard(receipts), 3)
  t.ok((await admin.pttl(receipts)) > META_TTL_MS - 60_000)
  for (const lane of ['fcm', 'webhook']) t.equal(await admin.exists(keys.callers(lane)[bucketOf('alice')] as string), 0)
})

t.test('an erased user leaves no key and no place in an index', async (t) => {
  const { server, keys, node } = await own(t)
  const { store } = await node(undefined, settings)
  const admin = server.admin()
  await store.outbox.putSubscription('alice', subscriptionOf('phone'))
  await store.publish({ ...command('alice'), options: { fallback, deliverAt: Date.now() + 60_000 } })
  await store.publish({ ...command('alice'), options: { fallback: { afterMs: 60_000, unless: 'read' } } })
  await store.advance('alice')
  await store.erase('alice')
  t.same(await admin.keys('*:alice'), keys.ofUser('alice', ['META']))
  for (const key of await admin.keys('*{*}:*')) if (!key.endsWith(':alice')) t.notOk((await members(key)).includes('alice'), key)

  async function members(key: string): Promise<string[]> {
    return (await admin.type(key)) === 'zset' ? await admin.zrange(key, '0', '-1') : []
  }
})

t.test('a lease takes a user whose calls were lost out of the index', async (t) => {
  const { server, keys, node } = await own(t)
  const { store } = await node(undefined, settings)
  const admin = server.admin()
  const index = keys.callers('fcm')[bucketOf('alice')] as string
  await admin.zadd(index, '1', 'alice')
  t.same(await store.outbox.lease({ lane: 'fcm', limit: 10 }), { calls: [], dropped: 0 })
  t.equal(await admin.exists(index), 0)
  await store.outbox.putSubscription('alice', subscriptionOf('phone'))
  await store.publish(command('alice'))
  await store.advance('alice')
  await admin.del(keys.ofUser('alice', ['CALL_TIMES']))
  t.same(await store.outbox.lease({ lane: 'fcm', limit: 10, user: 'alice' }), { calls: [], dropped: 0 })
  t.equal(await admin.exists(index), 0)
  await store.publish(command('alice'))
  await store.advance('alice')
  await admin.del(keys.ofUser('alice', ['CALLS']))
  t.same(await store.outbox.lease({ lane: 'fcm', limit: 10, user: 'alice' }), { calls: [], dropped: 1 })
  t.equal(await admin.exists(index), 0)
})

t.test('a check without its notification makes no call', async (t) => {
  const { keys, server, node } = await own(t)
  const { store } = await node(undefined, { ...settings, push: { afterMs: 1, unless: 'delivered' } })
  await store.outbox.putSubscription('alice', subscriptionOf('phone'))
  const result = await store.publish(command('alice'))
  t.match(result, { status: 'accepted', offset: 1 })
  // A node of an earlier version retracts without the check.
  const [log = ''] = keys.ofUser('alice', ['LOG'])
  const row = (await server.admin().lindex(log, 0)) ?? ''
  await server.admin().lset(log, 0, `x${row.slice(1, 42)}`)
  await until(async () => (await store.advance('alice')).checked === 1, 'the check')
  t.same(await store.outbox.lease({ lane: 'fcm', limit: 10, user: 'alice' }), { calls: [], dropped: 0 })
})

t.test('calls in the share of a node that leases none are leased by others when they are overdue', async (t) => {
  const { node } = await own(t)
  const [one, two] = [await node(undefined, settings), await node(undefined, settings)]
  const users = Array.from({ length: 20 }, (_, index) => `user ${index}`)
  for (const user of users) {
    await one.store.outbox.putSubscription(user, subscriptionOf('phone'))
    await one.store.publish(command(user))
    await one.store.advance(user)
  }
  const leased = new Set<string>()
  const lease = async (): Promise<boolean> => {
    for (const { user } of (await two.store.outbox.lease({ lane: 'fcm', limit: 100 })).calls) leased.add(user)
    return leased.size === users.length
  }
  await until(lease, 'the calls of every user', 15_000)
})
