import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type WebSocket, WebSocketServer } from 'ws'
import { publish, startReach } from '../fixtures/reach.ts'
import { Receiver } from '../fixtures/receiver.ts'
import { until } from '../fixtures/wait.ts'
import { call } from '../helper.ts'
import { launchFirefox, startHost, untilInPage } from './browser.ts'

/** A message that Firefox sends to its push service. */
interface FromBrowser {
  messageType: 'hello' | 'register' | 'unregister' | 'ack'
  channelID: string
}

/**
 * The push service of Mozilla as Firefox sees it: it speaks the protocol of autopush over a WebSocket (https://mozilla-push-service.readthedocs.io),
 * and hands on what it gets by HTTP. Everything else, such as the decryption, is Firefox's own.
 */
class Autopush {
  readonly receiver: Receiver
  /** Messages of the browser. */
  readonly messages: FromBrowser[] = []
  readonly #server: WebSocketServer
  #browser: WebSocket | undefined

  private constructor(receiver: Receiver, server: WebSocketServer) {
    this.receiver = receiver
    this.#server = server
    server.on('connection', (socket) => {
      this.#browser = socket
      socket.on('message', (data) => this.#answer(JSON.parse(String(data)) as FromBrowser))
    })
    receiver.behaviour = (response, { path, body }) => {
      const channelID = path.slice('/push/'.length)
      const headers = { encoding: 'aes128gcm' }
      this.#send({ messageType: 'notification', channelID, version: randomUUID(), ttl: 60, data: body.toString('base64url'), headers })
      response.writeHead(201).end()
    }
  }

  static async start(t: Test): Promise<Autopush> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    t.teardown(() => server.close())
    return new Autopush(await Receiver.start(t), server)
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  #answer(message: FromBrowser): void {
    this.messages.push(message)
    const { messageType, channelID } = message
    if (messageType === 'hello') this.#send({ messageType, uaid: randomUUID().replaceAll('-', ''), status: 200, use_webpush: true })
    if (messageType === 'register') {
      this.#send({ messageType, channelID, status: 200, pushEndpoint: `${this.receiver.origin}/push/${channelID}` })
    }
    if (messageType === 'unregister') this.#send({ messageType, channelID, status: 200 })
  }

  #send(message: object): void {
    this.#browser?.send(JSON.stringify(message))
  }
}

const SHOWN = 'navigator.serviceWorker.ready.then((worker) => worker.getNotifications())'

t.setTimeout(120_000)

t.test('Web Push in Firefox, from the subscription to the shown notification', async (t) => {
  const host = await startHost(t)
  const autopush = await Autopush.start(t)
  const { origin } = autopush.receiver
  const settings = { CORS_ORIGIN: host.url, PUSH_UNLESS: 'read', PUSH_ENDPOINTS: origin }
  const { service } = await startReach(t, 'embedded', settings)
  const browser = await launchFirefox({
    'dom.push.serverURL': autopush.url,
    'dom.push.testing.allowInsecureServerURL': true,
    'dom.push.connection.enabled': true,
    // A machine without a desktop has no notifications of its own: Firefox shows its own ones.
    'alerts.useSystemBackend': false,
    'permissions.default.desktop-notification': 1
  })
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  await page.goto(`${host.url}/push.html?${new URLSearchParams({ user: 'alice', service: service.url })}`)
  await untilInPage(page, 'globalThis.belfry?.state === "connected"')
  await page.click('#enable')
  await untilInPage(page, 'globalThis.enabled !== undefined')
  t.equal(await page.evaluate('enabled'), 'on')
  t.same(
    autopush.messages.map(({ messageType }) => messageType),
    ['hello', 'register']
  )

  const shown = (): Promise<string[]> =>
    page.evaluate<string[]>(`${SHOWN}.then((all) => all.map(({ title, body, tag }) => title + '|' + body + '|' + tag))`)
  const id = await publish(service, { title: 'Sync finished', data: { body: '12 records' } })
  await until(async () => (await shown()).length > 0, 'a notification')
  t.same(await shown(), [`Sync finished|12 records|${id}`])
  await until(() => autopush.messages.some(({ messageType }) => messageType === 'ack'), 'the acknowledgement of Firefox')

  await publish(service, { title: '10 %', collapseKey: 'export' })
  await until(async () => (await shown()).length === 2, 'the next')
  await publish(service, { title: '20 %', collapseKey: 'export' })
  await until(async () => (await shown()).some((one) => one.startsWith('20 %')), 'the one in its place')
  t.same((await shown()).map((one) => one.split('|')[0]).toSorted(), ['20 %', 'Sync finished'])

  await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [id], state: 'read' })
  await until(async () => (await shown()).length === 1, 'the one that was read is closed')

  t.equal(await page.evaluate('belfry.disablePush().then(() => belfry.push)'), 'off')
  await until(() => autopush.messages.at(-1)?.messageType === 'unregister', 'the end of the subscription')
})
