import t from 'tap'
import { BATCH_LEASE_MS } from '../../services/store/audiences.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, SECRET, startService } from '../helper.ts'

/** Enough members that a kill in the middle leaves many of them to the other nodes. */
const MEMBERS = 6000

/** Time in which another node takes a batch of a dead one, which is its lease, and ends the broadcast, milliseconds. */
const TAKEN_OVER_MS = 90_000

t.test('the node that carries out a broadcast is killed, or closes: the others go on, and every member gets it once', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const environment = { REDIS_URL: redis.url, RATE_LIMIT_MAX: '0', JWT_SECRET: SECRET, LOG_LEVEL: 'silent' }
  const dying = await ServerProcess.start(environment)
  t.teardown(() => dying.kill())
  const [other, third] = [await startService(t, environment), await startService(t, environment)]
  const users = Array.from({ length: MEMBERS }, (_, n) => `member-${n}`)
  await other.app.topics.add('team', users)
  await other.app.topics.add('small', ['member-0', 'stranger'])

  const body = { to: { topic: 'team', except: ['member-1'] }, type: 'a', title: 'To the team' }
  const headers = { 'idempotency-key': 'k' }
  const started = await call(dying, 'POST', '/v1/notifications', body, { headers })
  t.equal(started.status, 202)
  const { id, broadcast } = started.body
  const progress = async () => (await call(other, 'GET', `/v1/broadcasts/${broadcast.id}`)).body
  await until(async () => (await progress()).accepted > 0, 'the first batch', TAKEN_OVER_MS)
  await dying.kill()
  const atKill = await progress()
  t.equal(atKill.status, 'running')
  t.ok(atKill.accepted < MEMBERS - 1, `${atKill.accepted} members had it at the kill`)
  const repeated = await call(third, 'POST', '/v1/notifications', body, { headers })
  t.match(repeated, { status: 200, body: { id, broadcast: { id: broadcast.id } } }, 'a repeat finds it')

  const done = await until(
    async () => {
      const found = await progress()
      return found.status === 'done' ? found : undefined
    },
    'the end of the broadcast',
    TAKEN_OVER_MS
  )
  t.match(done, { accepted: MEMBERS - 1, parked: 0, rejected: 0 }, 'the counts are exact')
  const wrong: string[] = []
  for (let from = 0; from < users.length; from += 200) {
    await Promise.all(
      users.slice(from, from + 200).map(async (user) => {
        const { items } = await other.app.inbox.list(user, { limit: 10 })
        const isRight = user === 'member-1' ? items.length === 0 : items.length === 1 && items[0]?.id === id
        if (!isRight) wrong.push(`${user}: ${items.map((item) => item.id).join(' ')}`)
      })
    )
  }
  t.same(wrong, [], 'every member has it once')
  t.ok(other.app.counters.broadcastMembers.size + third.app.counters.broadcastMembers.size > 0, 'another node went on')

  const next = await call(third, 'POST', '/v1/notifications', { ...body, title: 'Once more' })
  const sent = (): number => third.app.counters.broadcastMembers.get('accepted') ?? 0
  const sentBefore = sent()
  await until(() => sent() > sentBefore, 'the first publishes', TAKEN_OVER_MS)
  await third.app.close()
  const closedAt = performance.now()
  const rest = async () => (await call(other, 'GET', `/v1/broadcasts/${next.body.broadcast.id}`)).body
  t.equal((await rest()).status, 'running')
  await until(async () => (await rest()).status === 'done', 'the end of the broadcast of a node that closed', TAKEN_OVER_MS)
  t.ok(performance.now() - closedAt < BATCH_LEASE_MS, 'its lease did not have to run out')
  t.equal((await rest()).accepted, MEMBERS - 1)
})
