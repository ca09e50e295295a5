import { once } from 'node:events'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { makeWebhookSecret } from '../../services/reach/standard-webhooks.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { send } from '../fixtures/raw.ts'
import { Receiver } from '../fixtures/receiver.ts'
import { until } from '../fixtures/wait.ts'
import { connect as connectSocket, temporaryFolder } from '../helper.ts'

const BODY = '{"user":"alice"}'

/** A webhook that the demo received. */
interface Entry {
  no: number
  id: string
  attempt: number
  status: number
  refusal: string
  body: string
}

function request(headers: Record<string, string>): string {
  const all = { host: 'localhost', 'content-type': 'application/json', 'content-length': String(BODY.length), ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `POST /demo/session HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${BODY}`
}

t.test('with a generated secret, the demo signs tokens for this machine only', async (t) => {
  const server = await ServerProcess.start({ LOG_LEVEL: 'silent', HOST: '0.0.0.0', DEMO: 'true' }, temporaryFolder(t))
  t.teardown(() => server.kill())
  const status = async (headers: Record<string, string>): Promise<number> => (await send(t, server.url, request(headers))).status

  for (const host of ['localhost', `localhost:${server.port}`, '127.0.0.1:3000', '[::1]', 'LOCALHOST:1']) {
    t.equal(await status({ host }), 200, host)
  }
  t.equal(await status({ origin: 'http://localhost' }), 200, 'from its own page')
  for (const host of ['notify.example.com', 'localhost.example.com', '127.0.0.1.example.com', '192.0.2.7', 'localhost@example.com']) {
    t.equal(await status({ host }), 404, host)
  }
  for (const header of ['forwarded', 'x-forwarded-for', 'X-Forwarded-Host', 'x-real-ip', 'via']) {
    t.equal(await status({ [header]: '127.0.0.1' }), 404, header)
  }
  t.equal(await status({ origin: 'https://app.example' }), 404, 'from a page of another origin')
  const posts = ['/demo/publish', '/demo/team', '/demo/recall', '/demo/cut', '/demo/webhooks/fail', '/demo/webhooks/forge']
  for (const path of [...posts, '/demo/users/alice', '/demo/webhooks']) {
    const method = posts.includes(path) ? 'POST' : 'GET'
    const { status } = await send(t, server.url, `${method} ${path} HTTP/1.1\r\nhost: notify.example.com\r\n\r\n`)
    t.equal(status, 404, path)
  }
  t.equal((await fetch(`${server.url}/demo`)).status, 200, 'the page is there')

  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.family === 'IPv4' && !address.internal)?.address
  if (outside === undefined) return t.comment('this machine has no other address')
  const socket = connect(server.port, outside)
  t.teardown(() => socket.destroy())
  socket.write(request({}))
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 404 /, 'from an address of the network')
})

t.test('a recall by the demo is counted like any other', async (t) => {
  const server = await ServerProcess.start({ LOG_LEVEL: 'silent' }, temporaryFolder(t))
  t.teardown(() => server.kill())
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${server.url}/demo/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const { ids } = (await (await post('publish', { user: 'alice', type: 't', title: 'x' })).json()) as { ids: string[] }
  t.equal((await post('recall', { user: 'alice', id: ids[0] })).status, 204)
  t.match(await (await fetch(`${server.url}/metrics`)).text(), /^belfry_recalled_total 1$/m)
  t.equal((await post('recall', { user: 'alice', id: 'unknown' })).status, 404)
  t.match(await (await fetch(`${server.url}/metrics`)).text(), /^belfry_recalled_total 1$/m)
})

t.test('a cut resets the connections of a device without a close frame, and of no other', async (t) => {
  const server = await ServerProcess.start({ LOG_LEVEL: 'silent' }, temporaryFolder(t))
  t.teardown(() => server.kill())
  const post = async (path: string, body: object): Promise<Record<string, string>> => {
    const reply = await fetch(`${server.url}/demo/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
    return (await reply.json()) as Record<string, string>
  }
  const { token = '' } = await post('session', { user: 'alice' })
  const phone = await connectSocket(t, server, 'alice', { token, deviceId: 'phone' })
  const laptop = await connectSocket(t, server, 'alice', { token, deviceId: 'laptop' })
  for (const client of [phone, laptop]) await client.next('caughtUp')
  t.same(await post('cut', { device: 'phone' }), { cut: 1 })
  t.equal((await phone.whenClosed()).code, 1006, 'no close frame came')
  t.same(await post('cut', { device: 'phone' }), { cut: 0 })

  const key = 'one'
  const first = await post('publish', { user: 'alice', type: 't', title: 'x', key })
  t.same((await post('publish', { user: 'alice', type: 't', title: 'x', key })).ids, first.ids, 'a repeat with the key is the same one')
  await laptop.next('notification')
  const back = await connectSocket(t, server, 'alice', { token, deviceId: 'phone' })
  t.match(await back.next('hello'), { resume: { pending: 1 } })
})

t.test('the demo receives the webhooks of a service that has no WEBHOOK_URL', async (t) => {
  const server = await ServerProcess.start({ LOG_LEVEL: 'info' }, temporaryFolder(t))
  t.teardown(() => server.kill())
  await server.until(() => server.stdout.includes('It receives the webhooks'), 'the greeting')
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${server.url}/demo/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const received = async (after = 0): Promise<{ receiver: string; entries: Entry[] }> =>
    (await (await fetch(`${server.url}/demo/webhooks?after=${after}`)).json()) as { receiver: string; entries: Entry[] }
  t.same(await received(), { receiver: 'here', entries: [] })

  const { ids } = (await (await post('publish', { user: 'alice', type: 't', title: 'x', fallback: { after: 0 } })).json()) as {
    ids: string[]
  }
  await until(async () => (await received()).entries.length === 1, 'the webhook')
  const [first] = (await received()).entries
  t.match(first, { id: /^msg_/, attempt: 1, status: 204, refusal: '', at: Number })
  t.match(JSON.parse(first?.body ?? ''), { type: 'notification.fallback', data: { user: 'alice', notification: { id: ids[0] } } })
  t.same((await received(first?.no)).entries, [])

  const { id } = (await (await post('webhooks/forge', { user: 'alice' })).json()) as { id: string }
  t.match((await received(first?.no)).entries, [{ id, status: 401, refusal: 'the signature is not of this secret' }])
  await server.until(() => server.stdout.includes('"url":"/demo/publish"'), 'the log lines of other requests')
  t.notMatch(server.stdout, '"url":"/demo/webhooks?', 'a page that asks twice a second does not fill the log')
  server.signal('SIGTERM')
  t.equal(await server.exited, 0)
})

t.test('webhooks go to the WEBHOOK_URL of the operator, and without the demo to nobody', async (t) => {
  const hooks = await Receiver.start(t)
  const secret = makeWebhookSecret()
  const named = await ServerProcess.start(
    { LOG_LEVEL: 'silent', WEBHOOK_URL: `${hooks.origin}/`, WEBHOOK_SECRET: secret },
    temporaryFolder(t)
  )
  t.teardown(() => named.kill())
  await named.until(() => named.stdout.includes('Demo:'), 'the greeting')
  t.notMatch(named.stdout, 'It receives the webhooks')
  t.same(await (await fetch(`${named.url}/demo/webhooks`)).json(), { receiver: 'elsewhere', entries: [] })
  t.equal((await fetch(`${named.url}/demo/webhooks/fail`, { method: 'POST' })).status, 404)
  await fetch(`${named.url}/demo/publish`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: 'alice', type: 't', title: 'x', fallback: { after: 0 } })
  })
  await until(() => hooks.received.length === 1, 'the webhook of the operator')

  const off = await ServerProcess.start({ LOG_LEVEL: 'silent', DEMO: 'false' }, temporaryFolder(t))
  t.teardown(() => off.kill())
  await off.until(() => off.stdout.includes('/docs'), 'the greeting')
  t.notMatch(off.stdout, 'It receives the webhooks')
})

t.test('the service worker of the demo may have the page in its scope, and no other path', async (t) => {
  const server = await ServerProcess.start({ LOG_LEVEL: 'silent' }, temporaryFolder(t))
  t.teardown(() => server.kill())
  const scopeOf = async (path: string) => (await fetch(server.url + path)).headers.get('service-worker-allowed')
  t.equal(await scopeOf('/demo/sw.js'), '../demo')
  t.equal(await scopeOf('/demo/client/sw.js'), null)
})

t.test('/demo/ leads to /demo, with its query', async (t) => {
  const server = await ServerProcess.start({ LOG_LEVEL: 'silent' }, temporaryFolder(t))
  t.teardown(() => server.kill())
  const reply = await fetch(`${server.url}/demo/?user=bob`)
  t.equal(reply.status, 200)
  t.equal(reply.url, `${server.url}/demo?user=bob`)
  t.match(await reply.text(), /<belfry|<h1/)
})

t.test('the demo is off with DEMO=false, and by default on an address that other machines can reach', async (t) => {
  for (const environment of [{ DEMO: 'false' }, { HOST: '0.0.0.0' }]) {
    const server = await ServerProcess.start({ LOG_LEVEL: 'silent', ...environment }, temporaryFolder(t))
    t.teardown(() => server.kill())
    await server.until(() => server.stdout.includes('/docs'), 'the greeting')
    t.notMatch(server.stdout, 'Demo:')
    t.equal((await fetch(`${server.url}/demo`)).status, 404)
    t.equal((await send(t, server.url, request({}))).status, 404)
  }
})
