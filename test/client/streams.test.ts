import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Client } from '../../packages/client/src/client.ts'
import type { TransportName } from '../../packages/client/src/types.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, type TestService, userToken } from '../helper.ts'
import { FakeClock, nodePlatform } from './fake-platform.ts'

/** The factor by which timers of the client run faster. */
const SPEED = 20
/** A service that stops fast, also with an idle connection of `fetch`. */
const ENVIRONMENT = { RATE_LIMIT_MAX: '0', CLOSE_GRACE_SECONDS: '1' }
/** An address without a listener. */
const NOWHERE = 'ws://127.0.0.1:1/'

interface Rig {
  client: Client
  transports: TransportName[]
  titles: string[]
  gaps: string[]
  /** State of WebSockets: 'open', 'refused', or the address of a server that never answers. */
  network: { webSockets: string; attempts: number }
}

/** A client of a real service, in a network that refuses WebSockets at first. */
function rig(t: Test, service: TestService, user: string): Rig {
  const network = { webSockets: 'refused', attempts: 0 }
  class Guarded extends WebSocket {
    constructor(url: string, protocols: string[]) {
      network.attempts++
      super(network.webSockets === 'open' ? url : network.webSockets === 'refused' ? NOWHERE : network.webSockets, protocols)
    }
  }
  const platform = nodePlatform(new FakeClock(), {
    now: () => Date.now(),
    monotonic: () => performance.now() * SPEED,
    random: () => 0,
    setTimeout: (run, ms) => setTimeout(run, ms / SPEED),
    clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
    WebSocket: Guarded
  })
  const client = new Client(service.url, { getToken: () => userToken(user), deviceId: 'd1' }, platform)
  t.teardown(() => client.disconnect())
  const rigged: Rig = { client, transports: [], titles: [], gaps: [], network }
  client.on('transport', ({ transport }) => rigged.transports.push(transport))
  client.on('notification', ({ notification }) => rigged.titles.push(notification.title))
  client.on('gap', ({ reason }) => rigged.gaps.push(reason))
  client.connect()
  return rigged
}

async function publish(service: TestService, user: string, from: number, to: number): Promise<void> {
  const notifications = Array.from({ length: to - from }, (_, n) => ({ to: user, type: 'a', title: `number ${from + n}` }))
  await call(service, 'POST', '/v1/notifications/batch', { notifications })
}

/** Returns the address of a server that accepts connections and never answers. */
async function silentServer(t: Test): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

const named = (count: number): string[] => Array.from({ length: count }, (_, n) => `number ${n}`)

t.test('after a short outage a client that fell back to an event stream returns to a WebSocket, and loses nothing', async (t) => {
  const service = await startService(t, ENVIRONMENT)
  const { client, transports, titles, gaps, network } = rig(t, service, 'alice')
  await client.ready()
  t.same(transports, ['sse'])
  await publish(service, 'alice', 0, 20)
  await until(() => titles.length === 20, 'twenty')
  t.ok(network.attempts >= 2)
  const attempts = network.attempts
  network.webSockets = 'open'
  const publishing = (async () => {
    for (let n = 20; n < 220; n += 5) await publish(service, 'alice', n, n + 5)
  })()
  await until(() => transports.length === 2, 'the WebSocket')
  await publishing
  await publish(service, 'alice', 220, 221)
  await until(() => titles.length >= 221, 'all')
  t.same(titles, named(221), 'each once, in order')
  t.same([transports, gaps, client.state], [['sse', 'websocket'], [], 'connected'])
  t.ok(network.attempts - attempts <= 2, `${network.attempts - attempts} attempts`)
  t.equal(await client.mark({ upTo: client.lastEventId }), 0, 'calls go over it')
  await until(async () => {
    const { items } = (await call(service, 'GET', '/v1/users/alice/connections')).body
    return items.length === 1
  }, 'one connection is left')
  await call(service, 'DELETE', '/v1/users/alice/connections')
  await until(() => client.state === 'disconnected', 'the close code of the WebSocket is obeyed')
})

t.test('WebSockets that are refused or get no answer do not disturb the stream, and are tried less often', async (t) => {
  const service = await startService(t, ENVIRONMENT)
  const silent = await silentServer(t)
  const { client, transports, titles, network } = rig(t, service, 'bob')
  await client.ready()
  await until(() => network.attempts === 3, 'an attempt that is refused')
  const from = performance.now()
  network.webSockets = silent
  await until(() => network.attempts === 4, 'an attempt without an answer')
  t.ok(performance.now() - from > 10_000 / SPEED - 100, 'after twice the first wait')
  await publish(service, 'bob', 0, 3)
  await until(() => titles.length === 3, 'the stream goes on')
  network.webSockets = 'open'
  await until(() => transports.length === 2, 'the WebSocket')
  await publish(service, 'bob', 3, 4)
  await until(() => titles.length === 4, 'the fourth')
  t.same([titles, transports, network.attempts], [named(4), ['sse', 'websocket'], 5])
})

t.test('a client that disconnects from an event stream stops trying WebSockets', async (t) => {
  const service = await startService(t, ENVIRONMENT)
  const { client, network } = rig(t, service, 'carol')
  await client.ready()
  network.webSockets = await silentServer(t)
  await until(() => network.attempts === 3, 'an attempt')
  client.disconnect()
  await new Promise((resolve) => setTimeout(resolve, 60_000 / SPEED / 2))
  t.equal(network.attempts, 3)
})
