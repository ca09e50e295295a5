import type { Frame } from 'playwright-core'
import t from 'tap'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, type TestService, temporaryFolder, userToken } from '../helper.ts'
import { type Host, launch, startHost, untilInPage } from './browser.ts'

const CLIENTS = 20
/** An address without a listener. */
const NOWHERE = 'ws://127.0.0.1:1/'

/** A page that loads the script from the service, which is another origin. */
const globalPage = (script: string): string => `<!doctype html><title>No bundler</title>
  <script src="${script}" crossorigin></script>
  <script>
    const { searchParams } = new URL(location.href)
    class Nowhere extends WebSocket {
      constructor(url, protocols) {
        super('${NOWHERE}', protocols)
      }
    }
    globalThis.heard = { ids: [], transports: [] }
    globalThis.belfry = new Belfry(searchParams.get('service'), {
      WebSocket: Nowhere,
      getToken: async () => (await fetch('/token?user=' + searchParams.get('user'))).text()
    })
    belfry.on('notification', ({ notification }) => heard.ids.push(notification.id))
    belfry.on('transport', ({ transport }) => heard.transports.push(transport))
    belfry.connect()
  </script>`

const publish = async (service: TestService, title: string, user = 'alice'): Promise<string> =>
  (await call(service, 'POST', '/v1/notifications', { to: user, type: 'a', title })).body.id

const pageUrl = (host: Host, service: string, more: Record<string, string> = {}): string =>
  `${host.url}/tab.html?${new URLSearchParams({ user: 'alice', service, ...more })}`

const portOf = (service: TestService): string => new URL(service.url).port

t.test('a page loses its network, its server is replaced, its token is refused', async (t) => {
  const whole = t
  const host = await startHost(t)
  const environment = { CORS_ORIGIN: host.url, DATA_DIR: temporaryFolder(t), RATE_LIMIT_MAX: '0', CLOSE_GRACE_SECONDS: '5' }
  const browser = await launch(t)
  let service = await startService(t, environment)

  await t.test('offline for a while and back; then the server is drained and replaced', async (t) => {
    const proxy = await TcpProxy.start(Number(portOf(service)))
    t.teardown(() => proxy.stop())
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(pageUrl(host, `http://127.0.0.1:${proxy.port}`))
    await untilInPage(page, 'globalThis.tab?.belfry.state === "connected"')
    const ids = [await publish(service, 'before')]
    await untilInPage(page, 'tab.heard.ids.length === 1')

    proxy.refuse(true)
    await untilInPage(page, 'tab.belfry.state === "connecting"')
    ids.push(await publish(service, 'away 1'), await publish(service, 'away 2'))
    proxy.refuse(false)
    await page.evaluate('dispatchEvent(new Event("online"))')
    await untilInPage(page, 'tab.heard.ids.length === 3')
    t.equal(await page.evaluate('tab.belfry.state'), 'connected')

    await service.close()
    service = await startService(whole, { ...environment, PORT: portOf(service) })
    ids.push(await publish(service, 'after the drain'))
    await untilInPage(page, 'tab.heard.ids.length === 4')
    t.same(await page.evaluate('tab.heard.ids'), ids, 'all of them, once, in order')
    t.same(await page.evaluate('tab.heard.gaps'), [])
    t.same(await page.evaluate('tab.heard.terminal ?? null'), null)
    // While no server listens, two WebSockets can fail: then the client takes an event stream, and goes back to a WebSocket beside it.
    await untilInPage(page, 'tab.heard.transports.at(-1) === "websocket"')
  })

  await t.test(`${CLIENTS} clients whose token is refused make at most 3 attempts each, then all connect`, async (t) => {
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(pageUrl(host, service.url, { idle: '1' }))
    await untilInPage(page, 'globalThis.loaded')
    const old = userToken('alice', { iat: Math.floor(Date.now() / 1000) - 5 })
    host.token = () => old
    await page.evaluate(`
      globalThis.all = Array.from({ length: ${CLIENTS} }, (_, n) => follow({ leader: false, deviceId: "device-" + n })); 0
    `)
    await untilInPage(page, 'all.every(({ belfry }) => belfry.state === "connected")')
    await call(service, 'DELETE', '/v1/users/alice/connections?revoke=true')
    await untilInPage(page, 'all.every(({ heard }) => heard.terminal)')
    t.same(await page.evaluate('[...new Set(all.map(({ heard }) => heard.terminal.code + heard.terminal.reason))]'), ['4001token_revoked'])

    host.token = (user) => userToken(user, { iat: Math.floor(Date.now() / 1000) + 2 })
    await page.evaluate('for (const { belfry } of all) belfry.connect()')
    await untilInPage(page, 'all.every(({ belfry }) => belfry.state === "connected")')
    const attempts = (await page.evaluate('all.map(({ heard }) => heard.attempts)')) as number[]
    t.equal(Math.max(...attempts), 3, 'the first, one with a new token, one with a good one')
    const id = await publish(service, 'to all')
    await untilInPage(page, `all.every(({ heard }) => heard.ids.at(-1) === '${id}')`)
  })

  await t.test('if WebSockets do not open, the client uses server-sent events and fires transport', async (t) => {
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(pageUrl(host, service.url, { user: 'bob', idle: '1' }))
    await untilInPage(page, 'globalThis.loaded')
    host.token = (user) => userToken(user, {}, 7)
    await page.evaluate(`globalThis.tab = follow({ address: '${NOWHERE}' }); 0`)
    await untilInPage(page, 'tab.belfry.state === "connected"')
    t.same(await page.evaluate('[tab.heard.transports, tab.heard.attempts]'), [['sse'], 2])

    const id = await publish(service, 'streamed', 'bob')
    await untilInPage(page, 'tab.heard.ids.length === 1 && tab.belfry.unread === 1')
    await page.evaluate('tab.belfry.markAllRead()')
    await untilInPage(page, 'tab.belfry.unread === 0')
    t.match(await call(service, 'GET', `/v1/users/bob/notifications/${id}`), { body: { state: 'read' } })
    await t.rejects(page.evaluate('tab.belfry.mark("nothing", "gone")'), { message: /BELFRY_ERR_INVALID_REQUEST|not valid/ })

    const connection = async () =>
      (await call(service, 'GET', '/v1/users/bob/connections')).body.items[0]?.connectionId as string | undefined
    const first = await connection()
    await until(async () => {
      const now = await connection()
      return now !== undefined && now !== first
    }, 'a new token on a new stream')
    await untilInPage(page, 'tab.belfry.state === "connected"')
    t.same(await page.evaluate('[tab.heard.transports, tab.heard.attempts, tab.heard.terminal ?? null]'), [['sse'], 2, null])
    const second = await publish(service, 'on the new stream', 'bob')
    await untilInPage(page, 'tab.heard.ids.length === 2')
    t.same(await page.evaluate('tab.heard.ids'), [id, second])

    await call(service, 'DELETE', '/v1/users/bob/connections')
    await untilInPage(page, 'tab.heard.terminal')
    t.equal(await page.evaluate('tab.heard.terminal.code'), 4003, 'what the service says at the end is obeyed')
  })

  await t.test('a frame without an origin, which can share nothing, has its own connection', async (t) => {
    host.token = (user) => userToken(user)
    host.files.set('/frame.html', `<iframe sandbox="allow-scripts" src="${pageUrl(host, service.url, { user: 'frank' })}"></iframe>`)
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(`${host.url}/frame.html`)
    const frame = page.frames()[1] as Frame
    await untilInPage(frame, 'globalThis.tab?.belfry.state === "connected"')
    const id = await publish(service, 'alone', 'frank')
    await untilInPage(frame, 'tab.heard.ids.length === 1')
    t.same(await frame.evaluate('[tab.heard.ids, tab.belfry.leader, tab.heard.attempts]'), [[id], true, 1])
  })

  await t.test('the script that the service serves includes event streams', async (t) => {
    host.token = (user) => userToken(user)
    host.files.set('/global.html', globalPage(`${service.url}/client/belfry.global.js`))
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(`${host.url}/global.html?${new URLSearchParams({ user: 'dave', service: service.url })}`)
    await untilInPage(page, 'belfry.state === "connected"')
    const id = await publish(service, 'streamed', 'dave')
    await untilInPage(page, 'heard.ids.length === 1')
    t.same(await page.evaluate('heard'), { ids: [id], transports: ['sse'] })
  })
})
