import t from 'tap'
import { bucketOf } from '../../services/store/redis/keys.ts'
import type { PublishResult } from '../../services/store/store.ts'
import type { Follower } from '../fixtures/follower.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { command, on, own, UNAVAILABLE } from '../fixtures/redis-ground.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'

/** Publishes without a break until it is stopped. Calls `accepted` for each accepted publish. */
function load(node: Follower, users: string[], publishers = 4) {
  const accepted = new Map<string, string[]>(users.map((user) => [user, []]))
  let refused = 0
  let running = true
  const publisher = async (index: number): Promise<void> => {
    const mine = users.filter((_, i) => i % publishers === index)
    while (running) {
      for (const user of mine) {
        const notification = command(user)
        const result = await node.store.publish(notification).catch((): undefined => undefined)
        if (result?.status === 'accepted') accepted.get(user)?.push(notification.id)
        else refused += 1
      }
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
  const done = Promise.all(Array.from({ length: publishers }, (_, index) => publisher(index)))
  return {
    accepted,
    count: () => [...accepted.values()].reduce((sum, ids) => sum + ids.length, 0),
    refused: () => refused,
    stop: async () => {
      running = false
      await done
    }
  }
}

/** Every accepted notification came, once, in order. */
function holds(ids: string[], accepted: string[]): boolean {
  const places = accepted.map((id) => ids.indexOf(id))
  return new Set(ids).size === ids.length && places.every((place, i) => place >= 0 && (i === 0 || place > (places[i - 1] as number)))
}

const shared = await RedisServer.start()
const users = Array.from({ length: 20 }, (_, i) => `user-${i}`)

t.test('kill -9 with appendfsync always: every accepted publish is in the log after the restart, and the node recovers', async (t) => {
  const { server, node } = await own(t, { appendonly: 'yes', appendfsync: 'always' })
  const follower = await node()
  t.equal(follower.store.status().durability, 'fsync')
  for (const user of users) await follower.follow(user)
  const work = load(follower, users)
  await until(() => work.count() > 300, '300 publishes')
  await server.kill()
  await until(() => !follower.store.status().available, 'the node notices that the store is unavailable', 2000)
  await t.rejects(follower.store.publish(command('a')), UNAVAILABLE)
  await server.run()
  const back = Date.now()
  await until(() => follower.store.status().available, 'the store is available', 3000)
  t.ok(Date.now() - back < 2000, `available after ${Date.now() - back} ms`)
  const before = work.count()
  await until(() => work.count() > before + 100, '100 more')
  await work.stop()
  for (const user of users) {
    const accepted = work.accepted.get(user) ?? []
    await until(() => holds(follower.ids(user), accepted), `${user} has all ${accepted.length}`, 4000)
  }
  t.same(
    follower.statuses.map(({ available }) => available),
    [true, false, true]
  )
})

t.test('a server that hangs for 5 s', async (t) => {
  const { server, node } = await own(t)
  const follower = await node()
  await follower.follow('a')
  await follower.store.publish(command('a'))
  server.pause()
  const since = Date.now()
  const late = command('a')
  const outcome = t.rejects(follower.store.publish(late), UNAVAILABLE)
  await new Promise((resolve) => setTimeout(resolve, 100))
  await t.rejects(follower.store.publish(command('b')), UNAVAILABLE, 'a later publish is not kept waiting longer')
  await outcome
  t.ok(Date.now() - since < 2100, `rejected after ${Date.now() - since} ms`)
  await until(() => !follower.store.status().available, 'unavailable', 2000)
  t.ok(Date.now() - since < 2100, `unavailable after ${Date.now() - since} ms`)
  await new Promise((resolve) => setTimeout(resolve, 5000 - (Date.now() - since)))
  server.resume()
  const back = Date.now()
  await until(() => follower.store.status().available, 'available', 4000)
  t.ok(Date.now() - back < 2100, `available after ${Date.now() - back} ms`)
  const retried = await follower.store.publish(late)
  t.match(retried, { status: 'accepted', offset: 2 })
  await until(() => follower.ids('a').length === 2, 'the publish without an answer was appended once')
})

t.test('an answer is lost: nothing is written twice', async (t) => {
  const proxy = await TcpProxy.start(shared.port)
  t.teardown(() => proxy.stop())
  const { node } = on(shared, t)
  const follower = await node(proxy.url)
  const direct = await node()
  for (const lose of ['cut', 'silence'] as const) {
    await until(() => follower.store.status().available, 'available')
    const notification = command(lose)
    const commands = proxy.passages('hget').filter((passage) => !passage.sent('ssubscribe'))
    t.equal(commands.length, 1)
    if (lose === 'cut') commands[0]?.dropNextReply()
    else commands[0]?.blackHole('down')
    const since = Date.now()
    await t.rejects(follower.store.publish(notification), UNAVAILABLE)
    t.ok(Date.now() - since < 1700, `${lose}: rejected after ${Date.now() - since} ms`)
    let retried: PublishResult | undefined
    await until(
      async () => {
        retried = await follower.store.publish(notification).catch(() => undefined)
        return retried !== undefined
      },
      'available again',
      5000
    )
    t.match(retried, { status: 'accepted', offset: 1, replayed: true })
    t.match(await direct.store.queue(lose), { head: { offset: 1 } })
  }
})

t.test('only the subscriber is cut, or stops answering: the node reads what it missed', async (t) => {
  const proxy = await TcpProxy.start(shared.port)
  t.teardown(() => proxy.stop())
  const { node } = on(shared, t)
  const follower = await node(proxy.url)
  const publisher = await node()
  for (const user of users) await follower.follow(user)
  const work = load(publisher, users)
  for (const break_ of ['kill', 'reset', 'silence'] as const) {
    await until(() => proxy.passages('ssubscribe').length === 1, 'one subscriber')
    const suspicions = follower.suspicions
    if (break_ === 'kill') await shared.client().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    else if (break_ === 'reset') proxy.passages('ssubscribe')[0]?.reset()
    else proxy.passages('ssubscribe')[0]?.blackHole('up', 'down')
    const since = Date.now()
    await until(() => follower.suspicions > suspicions, `${break_} is noticed`, 4000)
    t.ok(Date.now() - since < 3000, `${break_} noticed after ${Date.now() - since} ms`)
    t.ok(follower.store.status().available, 'commands were not affected')
  }
  await work.stop()
  for (const user of users) {
    const accepted = work.accepted.get(user) ?? []
    t.ok(accepted.length > 10)
    await until(() => holds(follower.ids(user), accepted), `${user} has all ${accepted.length}`, 10_000)
  }
  t.equal(work.refused(), 0)
})

t.test('the connection for commands is cut while the subscriber never answers again: the node becomes available', async (t) => {
  const proxy = await TcpProxy.start(shared.port)
  t.teardown(() => proxy.stop())
  const { node } = on(shared, t)
  const follower = await node(proxy.url)
  await follower.follow('a')
  for (const passage of proxy.passages()) {
    if (passage.sent('ssubscribe')) passage.blackHole('up', 'down')
    else passage.cut()
  }
  await until(() => !follower.store.status().available, 'away')
  await until(() => follower.store.status().available, 'available', 5000)
  await follower.store.publish(command('a'))
  await until(() => follower.ids('a').length === 1, 'the wake-up came', 4000)
})

for (const busy of [false, true]) {
  t.test(`the counters reveal a wake-up that was lost unnoticed, in a ${busy ? 'busy' : 'quiet'} bucket`, async (t) => {
    const { server, node, keys } = await own(t)
    const follower = await node()
    await follower.follow('a')
    const neighbour = Array.from({ length: 10_000 }, (_, i) => `b-${i}`).find((user) => bucketOf(user) === bucketOf('a')) as string
    if (busy) await follower.follow(neighbour)
    const work = busy ? load(follower, [neighbour], 1) : undefined
    await server.client().hincrby(keys.counters[bucketOf('a')] as string, follower.node, 1)
    const since = Date.now()
    await until(() => follower.suspicions === 1, 'the lag is found', 3500)
    t.ok(Date.now() - since < 2600, `found after ${Date.now() - since} ms`)
    await work?.stop()
    if (work !== undefined) t.ok(work.count() > 20, `${work.count()} arrived for other users`)
    t.equal(follower.lost, 1)
    await follower.store.publish(command('a'))
    await until(() => follower.ids('a').length === 1, 'the user has read what was missed')
  })
}

t.test('FLUSHALL under connected nodes: their users are suspect, and the log has a new epoch', async (t) => {
  const { server, node } = await own(t)
  const follower = await node()
  const publisher = await node()
  await follower.follow('a')
  await follower.store.publish(command('a'))
  await until(() => follower.ids('a').length === 1, 'the first')
  await server.client().flushall()
  await until(() => (follower.epochs.get('a') ?? []).length === 2, 'a new epoch', 3500)
  await publisher.store.publish(command('a'))
  await until(() => follower.ids('a').length === 2, 'woken again')
})

t.test('a detach that fails is repeated', async (t) => {
  const proxy = await TcpProxy.start(shared.port)
  t.teardown(() => proxy.stop())
  const { node } = on(shared, t)
  const follower = await node(proxy.url)
  const other = await node()
  await follower.follow('gone')
  await follower.follow('back')
  proxy.refuse(true)
  await t.rejects(follower.leave('gone'), UNAVAILABLE)
  await t.rejects(follower.leave('back'), UNAVAILABLE)
  proxy.refuse(false)
  await until(() => follower.store.status().available, 'available')
  await follower.follow('back')
  await until(async () => (await other.store.connections('gone')).length === 0, 'the registration was removed', 4000)
  t.match(await other.store.publish(command('gone')), { nodes: 0 })
  t.match(await other.store.publish(command('back')), { nodes: 1 })
})

t.test('a dead node is removed from the registry; a node that was only paused returns with all its users', async (t) => {
  const proxy = await TcpProxy.start(shared.port)
  t.teardown(() => proxy.stop())
  const { node, keys } = on(shared, t)
  const paused = await node(proxy.url)
  const other = await node()
  const admin = shared.client()
  await paused.follow('a')
  t.match(await other.store.publish(command('a')), { nodes: 1 })
  t.equal((await other.store.connections('a')).length, 1)
  proxy.refuse(true)
  await until(() => !paused.store.status().available, 'cut off')
  await admin.zadd(keys.nodes, 'XX', 'INCR', -16_000, paused.node)
  t.same(await other.store.connections('a'), [], 'no longer listed')
  let woken = 1
  await until(
    async () => {
      const result = await other.store.publish(command('a'))
      woken = result.status === 'accepted' ? result.nodes : -1
      return woken === 0
    },
    'no longer woken',
    4000
  )
  proxy.refuse(false)
  await until(() => paused.store.status().available, 'back')
  const sent = (await other.store.queue('a')).head.offset
  await until(() => paused.ids('a').length === sent, 'has read what it missed', 4000)
  t.match(await other.store.publish(command('a')), { nodes: 1 })
  await until(() => paused.ids('a').length === sent + 1, 'is woken again')
  t.equal((await other.store.connections('a')).length, 1)
})

t.test('a node sweeps its share of the buckets, and overdue releases in the shares of others', async (t) => {
  let now = 1_754_000_000_000
  const { node } = await own(t)
  const one = await node(undefined, { rateLimit: 1, clock: () => now })
  await node(undefined, { rateLimit: 1, clock: () => now })
  for (const user of users) for (let i = 0; i < 2; i++) await one.store.publish(command(user))
  now += 1000
  const { released: mine } = await one.store.sweep()
  t.ok(mine > 0 && mine < users.length, `${mine} of ${users.length}`)
  now += 1999
  t.equal((await one.store.sweep()).released, 0, 'the other has its time')
  now += 1
  t.equal((await one.store.sweep()).released, users.length - mine)
})

t.test('two nodes sweep at once: each notification is released once, in order, within the rate', async (t) => {
  const { node } = on(shared, t)
  const limits = { rateLimit: 5, rateWindowMs: 200 }
  const one = await node(shared.url, limits)
  const two = await node(shared.url, limits)
  const sent: string[] = []
  await one.follow('a')
  for (let i = 0; i < 30; i++) {
    const notification = command('a')
    const result: PublishResult = await (i % 2 === 0 ? one : two).store.publish(notification)
    if (i < 5) t.equal(result.status, 'accepted')
    sent.push(notification.id)
  }
  await until(async () => {
    await Promise.all([one.store.sweep(), two.store.sweep(), one.store.advance('a'), two.store.advance('a')])
    return one.ids('a').length >= 30
  }, 'all are released')
  t.same(one.ids('a'), sent)
  const { rows } = await one.store.read({
    user: 'a',
    position: { epoch: (await one.store.queue('a')).head.epoch, offset: 0, id8: '' },
    seen: undefined,
    limit: 100
  })
  const times = rows.map((row) => Number(row.toString('latin1', 1, 14)))
  const tooClose = times.filter((ms, i) => i >= 5 && ms - (times[i - 5] as number) < 200)
  t.same(tooClose, [])
})

t.teardown(() => shared.stop())
