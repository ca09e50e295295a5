import { once } from 'node:events'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { ServerProcess } from '../fixtures/node-process.ts'
import { send } from '../fixtures/raw.ts'
import { connect as connectSocket, temporaryFolder } from '../helper.ts'

const BODY = '{"user":"alice"}'

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
  for (const path of ['/demo/publish', '/demo/team', '/demo/recall', '/demo/cut', '/demo/users/alice']) {
    const method = path.endsWith('alice') ? 'GET' : 'POST'
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
