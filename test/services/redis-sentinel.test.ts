import t from 'tap'
import { newId } from '../../services/ids.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { Follower } from '../fixtures/follower.ts'
import { RedisSentinel } from '../fixtures/redis.ts'
import { settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

t.test('a replica confirms publishes and broadcasts, is promoted when the master dies, and nothing confirmed is lost', async (t) => {
  const group = await RedisSentinel.start()
  t.teardown(() => group.stop())
  const store = new RedisStore(settings, {
    sentinels: [`127.0.0.1:${group.sentinel.port}`],
    sentinelName: group.name,
    keyPrefix: 'belfry',
    waitReplicas: 1
  })
  t.teardown(() => store.close())
  const follower = await new Follower('one', store).open()
  await follower.follow('a')
  const tail = '"type":"t","title":"x","timestamp":1}'
  const publish = () => store.publish({ user: 'a', id: newId(), keyed: true, tail, halfLife: 0 })
  const results = await Promise.all(Array.from({ length: 20 }, publish))
  t.equal(new Set(results.map((result) => (result.status === 'accepted' ? result.offset : 0))).size, 20)
  t.equal(store.status().durability, 'replicated')
  const sentTo = { to: { topic: 'team', except: [] }, id: newId(), keyed: true, tail, halfLife: 0 }
  const admin = group.master.admin()
  const waits = async (): Promise<number> => Number(/cmdstat_wait:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1])
  const waitsBefore = await waits()
  const started = await store.audiences.start(sentTo)
  if (started.status !== 'started') throw new Error(started.status)
  t.equal((await waits()) - waitsBefore, 1, 'the start of a broadcast waits for the replica')
  await store.audiences.cancel(started.broadcast.id)
  t.equal((await waits()) - waitsBefore, 2, 'its cancellation, too')
  const changes: (() => Promise<unknown>)[] = [
    () => store.mark({ user: 'b', target: { ids: [newId()] }, state: 'read' }),
    () => store.answer({ user: 'b', id: newId(), action: 'ok', deviceId: 'd' }),
    () => store.retract('b', newId(), 'reason'),
    () => store.disconnect({ user: 'b', connectionId: undefined, reason: '', revoke: true })
  ]
  for (const change of changes) await change()
  t.equal((await waits()) - waitsBefore, 6, 'a mark, an answer, a recall and a revocation, whose answers say how durable they are')
  const ids = follower.ids('a')
  await until(() => ids.length === 20, 'all twenty')

  await group.master.kill()
  await until(() => !store.status().available, 'noticed', 2500)
  await until(() => store.status().available, 'the replica took over', 15_000)
  t.match(await publish(), { status: 'accepted', offset: 21 })
  t.equal(store.status().durability, 'none', 'no replica is left to confirm')
  await until(() => follower.ids('a').length === 21, 'woken by the new master')
  t.equal(follower.epochs.get('a')?.length, 1)
})
