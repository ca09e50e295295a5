import t from 'tap'
import { NodeProcess } from '../fixtures/node-process.ts'
import { publish, SECRETS, VAPID, webhooksOf } from '../fixtures/reach.ts'
import { answering, hanging, Receiver } from '../fixtures/receiver.ts'
import { freePort, RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, ready, SECRET, startService } from '../helper.ts'

/** A node counts as dead after 15 s, a check follows within 15 s; a lease ends after 30 s. */
const DEADLINE_MS = 45_000

t.test('kill -9 of a node: its users go offline within 35 s, and its calls are sent by another node, with the same ids', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const hooks = await Receiver.start(t)
  const environment = {
    REDIS_URL: redis.url,
    WEBHOOK_URL: hooks.origin,
    WEBHOOK_SECRET: SECRETS.join(),
    VAPID_PUBLIC_KEY: VAPID.publicKey,
    VAPID_PRIVATE_KEY: VAPID.privateKey,
    VAPID_SUBJECT: 'mailto:ops@example.com'
  }
  const port = await freePort()
  const node = new NodeProcess('server.js', [], { ...environment, JWT_SECRET: SECRET, PORT: String(port), LOG_LEVEL: 'silent' })
  t.teardown(() => node.kill())
  const killed = { url: `http://127.0.0.1:${port}`, socketUrl: `ws://127.0.0.1:${port}` }
  await node.until(async () => (await fetch(`${killed.url}/health/ready`).catch(() => undefined))?.status === 200, 'it was ready')

  await ready(t, killed, 'alice', { deviceId: 'tab' })
  await until(() => hooks.received.length === 1)
  hooks.behaviour = hanging
  await publish(killed, { fallback: { after: 0 } })
  await until(() => hooks.open === 1)
  const survivor = await startService(t, environment)
  await ready(t, survivor, 'bob')
  const presence = async (user: string) => (await call(survivor, 'GET', `/v1/users/${user}/presence`)).body
  t.match(await presence('alice'), { online: true, devices: [{ deviceId: 'tab', connectedAt: Number }] })
  const [{ node: alicesNode }, { node: bobsNode }] = [(await presence('alice')).devices[0], (await presence('bob')).devices[0]]
  t.equal(bobsNode, survivor.app.node)
  t.not(alicesNode, bobsNode, 'a connection on another node')
  node.child.kill('SIGKILL')
  await node.exited
  const died = Date.now()
  hooks.behaviour = answering(204)

  const arrived = () => webhooksOf(hooks).slice(1)
  await until(() => arrived().some(({ type }) => type === 'user.offline'), 'alice is offline', DEADLINE_MS)
  const offline = webhooksOf(hooks).find(({ type }) => type === 'user.offline')
  t.match(offline, { data: { user: 'alice' } })
  t.match(await presence('alice'), { online: false, devices: [] })
  t.match(await presence('bob'), { online: true })
  t.ok(Date.now() - died < 35_000, `${Date.now() - died} ms`)
  await until(() => arrived().filter(({ type }) => type === 'notification.fallback').length === 2, 'the call is sent again', DEADLINE_MS)
  const fallbacks = arrived().filter(({ type }) => type === 'notification.fallback')
  t.equal(fallbacks[0]?.id, fallbacks[1]?.id)
  t.equal(arrived().filter(({ type, data }) => type === 'user.offline' && data.user === 'bob').length, 0)
})
