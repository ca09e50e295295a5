import slotOf from 'cluster-key-slot'
import t from 'tap'
import { newId } from '../../services/ids.ts'
import type { Availability } from '../../services/store/redis/availability.ts'
import { bucketOf, Keys } from '../../services/store/redis/keys.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { scripts } from '../../services/store/redis/script-table.ts'
import { UserScan } from '../../services/store/redis/user-scan.ts'
import type { LeasedCall, PublishOptions, StoreSettings } from '../../services/store/store.ts'
import { Follower } from '../fixtures/follower.ts'
import { RedisCluster, type RedisServer } from '../fixtures/redis.ts'
import { settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

const cluster = await RedisCluster.start()
t.teardown(() => cluster.stop())

async function node(name: string, overrides: Partial<StoreSettings> = {}): Promise<Follower> {
  const store = new RedisStore({ ...settings, ...overrides }, { clusterNodes: cluster.nodes, keyPrefix: 'belfry', waitReplicas: 0 })
  t.teardown(() => store.close())
  return await new Follower(name, store).open()
}

const one = await node('one')
const two = await node('two')

async function publish(user: string): Promise<void> {
  const tail = '"type":"t","title":"x","timestamp":1}'
  const result = await one.store.publish({ user, id: newId(), keyed: false, tail, halfLife: 0 })
  if (result.status !== 'accepted') throw new Error(result.status)
}

/** Returns the slot of the user's keys. */
function slotOfUser(user: string): number {
  return slotOf(tagOf(new Keys('belfry').counters[bucketOf(user)] as string))
}

function thirdOf(user: string): number {
  return Math.floor((slotOfUser(user) * 3) / 16_384)
}

function intersection(found: string[], users: string[]): string[] {
  return users.filter((user) => found.includes(user))
}

function tagOf(key: string): string {
  return /\{(.*?)\}/.exec(key)?.[1] ?? ''
}

t.test('three masters: every user is woken, on both nodes', async (t) => {
  const admin = cluster.servers[0]?.client()
  for (const key of new Keys('belfry').counters) {
    const slot = await admin?.cluster('KEYSLOT', key)
    if (slot !== slotOf(tagOf(key))) t.fail(`${key} is in slot ${slot}`)
  }
  t.ok(one.store.status().available)
  t.same(
    [...one.statuses, ...two.statuses].filter(({ available }) => !available),
    [],
    'the first connections to the masters are no outage'
  )
  const plain = new RedisStore(settings, { url: cluster.servers[0]?.url ?? '', keyPrefix: 'belfry', waitReplicas: 0 })
  t.teardown(() => plain.close())
  const { reason } = (await new Follower('plain', plain).open()).store.status()
  t.equal(reason, 'it is a Cluster: set REDIS_CLUSTER_NODES in place of REDIS_URL')
  const users = Array.from({ length: 60 }, (_, i) => `user-${i}`)
  const masters = new Set(users.map((user) => thirdOf(user)))
  t.equal(masters.size, 3)
  for (const user of users) {
    await one.follow(user)
    await two.follow(user)
  }
  await Promise.all(users.map(publish))
  await until(() => users.every((user) => one.ids(user).length === 1 && two.ids(user).length === 1), 'all were woken')
  t.match(await one.store.sweep(), { released: 0, folded: 0 })
  t.equal((await one.store.connections('user-1')).length, 2)
  await one.store.disconnect({ user: 'user-1', connectionId: undefined, reason: 'x', revoke: false })
  await until(() => one.kicks.length === 1 && two.kicks.length === 1, 'kicks')
})

t.test('calls of users on every master are made, leased and settled', async (t) => {
  const { store } = await node('courier', { push: { afterMs: 0, unless: 'delivered' }, webhookEvents: ['notification.expired'] })
  const users = Array.from({ length: 30 }, (_, i) => `subscriber-${i}`)
  t.equal(new Set(users.map((user) => thirdOf(user))).size, 3)
  const subscription = { deviceId: 'phone', endpoint: 'https://push.test', p256dh: 'p', auth: 'a', expirationTime: 0, lane: 'fcm' }
  for (const user of users) {
    await store.outbox.putSubscription(user, subscription)
    await store.publish({ user, id: newId(), keyed: false, tail: '"type":"t","title":"x","timestamp":1}', halfLife: 0 })
    t.match(await store.advance(user), { checked: 1, called: 1, lanes: ['fcm'] })
  }
  const calls: LeasedCall[] = []
  const lease = async (): Promise<boolean> => {
    calls.push(...(await store.outbox.lease({ lane: 'fcm', limit: 100 })).calls)
    return calls.length === users.length
  }
  await until(lease, 'the calls of every user', 15_000)
  t.same(calls.map(({ user }) => user).sort(), [...users].sort())
  for (const { user, epoch, no, madeAt, attempt } of calls) {
    t.equal(await store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome: { status: 'done' } }), true)
    t.equal(await store.outbox.deleteSubscription(user, 'phone'), true)
    await store.erase(user)
  }
})

t.test('a slot moves, and its new owner unsubscribes every client: wake-ups arrive again', async (t) => {
  const user = 'mover'
  const slot = slotOfUser(user)
  const from = Math.floor((slot * 3) / 16_384)
  await one.follow(user)
  await two.follow(user)
  await publish(user)
  await until(() => two.ids(user).length === 1, 'the first')
  await cluster.moveSlot(slot, from, (from + 1) % 3, 3)
  const moved = Date.now()
  await until(
    () =>
      publish(user).then(
        () => true,
        () => false
      ),
    'publishes go on',
    5000
  )
  await until(async () => two.ids(user).length === (await one.store.queue(user)).head.offset, 'caught up', 5000)
  t.ok(Date.now() - moved < 3000, `caught up after ${Date.now() - moved} ms`)
  const before = two.suspicions
  await publish(user)
  const sent = Date.now()
  await until(async () => two.ids(user).length === (await one.store.queue(user)).head.offset, 'woken')
  t.ok(Date.now() - sent < 2600, `woken after ${Date.now() - sent} ms, ${two.suspicions - before} suspicions`)
})

t.test('while a slot moves, each step of its users and topics is refused before it writes', async (t) => {
  const user = 'split'
  const slot = slotOfUser(user)
  const from = await cluster.ownerOf(slot)
  const { store } = await node('mover', { rateLimit: 2 })
  const send = (options: PublishOptions = {}, id = newId()) =>
    store.publish({ user, id, keyed: true, tail: '"type":"t","title":"x","timestamp":1}', halfLife: 0, options })
  await one.follow(user)
  const [first, recalled] = [newId(), newId()]
  await send({ collapseKey: 'key', actions: ['yes'] }, first)
  await send({ expiresAt: Date.now() + 3_600_000 })
  await store.mark({ user, target: { ids: [first] }, state: 'seen' })
  t.match(await send({}, recalled), { status: 'parked' })
  t.match(await send(), { status: 'parked' })
  await store.retract(user, recalled, 'recalled')
  const deliverAt = Date.now() + 200
  t.match(await send({ deliverAt }), { status: 'scheduled' })
  const admin = (cluster.servers[from] as RedisServer).admin()
  const names = new Keys('belfry').ofUser(user, scripts.advance.keys)
  t.same(await Promise.all(names.map((name) => admin.exists(name))), [...names.slice(1).map(() => 1), 0], 'no key is missing but the guard')
  const dump = async (): Promise<string[]> => {
    const keys = (await admin.call('CLUSTER', 'GETKEYSINSLOT', slot, 1000)) as string[]
    return Promise.all(keys.sort().map(async (key) => `${key} ${(await admin.dumpBuffer(key))?.toString('hex')}`))
  }
  await until(() => Date.now() > deliverAt, 'the delivery is due')
  const before = await dump()
  await cluster.openSlot(slot, from, (from + 1) % 3)
  const topic = Array.from({ length: 10_000 }, (_, n) => `topic-${n}`).find((name) => bucketOf(name) === bucketOf(user)) ?? ''
  const steps: Record<string, () => Promise<unknown>> = {
    publish: () => send(),
    advance: () => store.advance(user),
    mark: () => store.mark({ user, target: { ids: [first] }, state: 'read' }),
    retract: () => store.retract(user, first, 'recalled'),
    answer: () => store.answer({ user, id: first, action: 'yes', deviceId: 'phone' }),
    erase: () => store.erase(user),
    topic: () => store.audiences.changeMembers({ topic, add: ['bob'], remove: [] })
  }
  await Promise.all(
    Object.entries(steps).map(([name, step]) => t.rejects(step(), { code: 'BELFRY_ERR_STORE_UNAVAILABLE' }, `${name} is refused`))
  )
  t.same(await dump(), before, 'nothing was written')
  await cluster.closeSlot(slot)
  await until(async () => (await store.advance(user)).waiting === 0, 'the delivery, and the release of both parked')
  t.match(await store.queue(user), { head: { offset: 5 }, parked: 0, scheduled: 0 }, 'two and a state, then two more')
})

t.test('a slot that moves does not stop the sweep of the other users of its master', async (t) => {
  const { store } = await node('sweeper', { rateLimit: 1 })
  const user = 'swept'
  const from = await cluster.ownerOf(slotOfUser(user))
  const admin = (cluster.servers[from] as RedisServer).admin()
  const indexes = new Keys('belfry').due.filter((key) => Math.floor((slotOf(tagOf(key)) * 3) / 16_384) === from)
  const missing = await Promise.all(indexes.map(async (key) => (await admin.exists(key)) === 0))
  const slot = slotOf(tagOf(indexes[missing.indexOf(true)] as string))
  await cluster.openSlot(slot, from, (from + 1) % 3)
  t.teardown(() => cluster.closeSlot(slot))
  for (const status of ['accepted', 'parked']) {
    t.match(await store.publish({ user, id: newId(), keyed: false, tail: '"type":"t","title":"x","timestamp":1}', halfLife: 0 }), {
      status
    })
  }
  const released = async (): Promise<boolean> => {
    for (const { store } of [one, two]) await store.sweep()
    await store.sweep()
    return (await store.queue(user)).parked === 0
  }
  await until(released, 'the sweep releases the notification', 5000)
})

t.test('a search for all users ends only if no slot has moved since it began', async (t) => {
  const keys = new Keys('belfry')
  const users = [0, 1, 2].map((third) => Array.from({ length: 100 }, (_, n) => `found-${n}`).find((user) => thirdOf(user) === third) ?? '')
  for (const user of users) await publish(user)
  const [, moving = ''] = users
  const slot = slotOfUser(moving)
  const search = async (whileScanned = async (_third: number): Promise<void> => {}): Promise<string[]> => {
    const available = await Promise.all(
      cluster.servers.map(async (server, third) => {
        const commands = server.client()
        const scan = commands.scanBuffer.bind(commands)
        commands.scan = (async (...args: Parameters<typeof scan>) => {
          await whileScanned(third)
          const [cursor, found] = await scan(...args)
          return [String(cursor), found.map(String)]
        }) as unknown as typeof commands.scan
        const buckets: number[] = []
        for (const [bucket, key] of keys.counters.entries()) if ((await cluster.ownerOf(slotOf(tagOf(key)))) === third) buckets.push(bucket)
        const track = <Result>(call: () => Promise<Result>): Promise<Result> => call()
        return { address: `${server.port}`, buckets, commands, track }
      })
    )
    const scan = new UserScan({ available } as unknown as Availability, keys)
    const found: string[] = []
    while (!scan.isDone) found.push(...(await scan.next()))
    return found
  }
  t.same(intersection(await search(), users), users, 'every user is found')
  let isMoved = false
  const moves = async (third: number): Promise<void> => {
    if (third === 0 || isMoved) return
    isMoved = true
    await cluster.moveSlot(slot, 1, 0, 1)
  }
  await t.rejects(search(moves), /MOVED/, 'a slot that has moved to a master that was searched before')
  t.same(intersection(await search(), users), users)
  let isBack = false
  const movesAndReturns = async (third: number): Promise<void> => {
    if (third === 0 || isBack) return
    isBack = true
    await cluster.moveSlot(slot, 0, 1, 1)
    await cluster.moveSlot(slot, 1, 0, 1)
  }
  await t.rejects(search(movesAndReturns), /have moved/, 'a slot that has moved to another master and back')
  await cluster.openSlot(slot, 0, 1)
  await t.rejects(search(), /ASK|TRYAGAIN/, 'a slot that moves')
  await cluster.closeSlot(slot)
})

t.test('the owner of a slot unsubscribes every client, and nothing else changes: the node subscribes again at once', async (t) => {
  const user = 'mover'
  const slot = slotOfUser(user)
  const owner = (Math.floor((slot * 3) / 16_384) + 1) % 3
  await cluster.repeatOwner(slot, owner)
  const since = Date.now()
  await publish(user)
  await until(async () => two.ids(user).length === (await one.store.queue(user)).head.offset, 'caught up', 5000)
  t.ok(Date.now() - since < 900, `caught up after ${Date.now() - since} ms, before the counters were compared`)
})

t.test('every subscriber is killed: wake-ups arrive again', async (t) => {
  const user = 'killed'
  await two.follow(user)
  await publish(user)
  await until(() => two.ids(user).length === 1, 'the first')
  for (const server of cluster.servers) await server.client().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  const since = Date.now()
  await publish(user)
  await until(() => two.ids(user).length === 2, 'what was missed', 8000)
  t.ok(Date.now() - since < 3500, `caught up after ${Date.now() - since} ms`)
  await publish(user)
  await until(() => two.ids(user).length === 3, 'and what follows', 8000)
  t.ok(Date.now() - since < 4000, `woken again after ${Date.now() - since} ms`)
})

t.test('a master is unavailable: its slots are named, other users are served, and it is used again when it returns', async (t) => {
  const [server] = cluster.servers
  const on = (index: number, count: number): string[] =>
    Array.from({ length: 1000 }, (_, i) => `away-${i}`)
      .filter((user) => thirdOf(user) === index)
      .slice(0, count)
  const [there = '', here = ''] = [on(0, 1)[0], on(1, 1)[0]]
  await server?.kill()
  await until(() => one.store.status().away !== undefined, 'noticed', 1000)
  t.match(one.store.status(), { available: true, reason: '' })
  t.match(one.store.status().away?.[0]?.slots, /^0-54\d\d/)
  t.notOk(one.store.availableTo(there))
  t.ok(one.store.availableTo(here))
  const since = performance.now()
  await t.rejects(publish(there), { code: 'BELFRY_ERR_STORE_UNAVAILABLE' })
  t.ok(performance.now() - since < 100, 'at once')
  await publish(here)
  const late = await node('late')
  t.ok(late.store.availableTo(here), 'a node that starts now serves the users of the others, too')
  await late.follow(here)
  await publish(here)
  await until(() => late.ids(here).length === 2, 'and is woken')
  await server?.run()
  const back = Date.now()
  await until(
    () => [one, two, late].every(({ store }) => store.status().away === undefined && store.availableTo(there)),
    'every master is available'
  )
  t.ok(Date.now() - back < 5000, `available after ${Date.now() - back} ms`)
  await publish(there)
})
