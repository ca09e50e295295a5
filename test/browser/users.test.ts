import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService, type TestService, userToken } from '../helper.ts'
import { bundleReactApp, type Host, launch, startHost, untilInPage } from './browser.ts'

async function publish(service: TestService, user: string, ...titles: string[]): Promise<string[]> {
  const notifications = titles.map((title) => ({ to: user, type: 'a', title }))
  const { body } = await call(service, 'POST', '/v1/notifications/batch', { notifications })
  return body.results.map(({ id }: { id: string }) => id)
}

const numbered = (user: string, from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, n) => `${user} ${from + n}`)

async function open(t: Test, context: BrowserContext, host: Host, name: string, query: Record<string, string>): Promise<Page> {
  const page = await context.newPage()
  t.teardown(() => page.close())
  await page.goto(`${host.url}/${name}.html?${new URLSearchParams(query)}`)
  return page
}

t.setTimeout(120_000)

t.test('users of one browser', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' })
  const browser = await launch(t)
  const query = (user: string) => ({ user, service: service.url })
  const connectionsOf = async (user: string): Promise<number> =>
    (await call(service, 'GET', `/v1/users/${user}/connections`)).body.items.length

  await t.test('tabs of two users: each has its own connection, position and toasts', async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    const users = ['alice', 'bob', 'alice', 'bob']
    const pages: Page[] = []
    for (const user of users) {
      const page = await open(t, context, host, 'tab', query(user))
      await untilInPage(page, 'globalThis.tab?.belfry.state === "connected"')
      pages.push(page)
    }
    t.same(await Promise.all(pages.map((page) => page.evaluate('tab.belfry.leader'))), [true, true, false, false])
    t.same([await connectionsOf('alice'), await connectionsOf('bob')], [1, 1])
    const ids = { alice: await publish(service, 'alice', 'alice 1', 'alice 2'), bob: await publish(service, 'bob', 'bob 1') }
    for (const [n, page] of pages.entries()) {
      const own = ids[users[n] as 'alice' | 'bob']
      await untilInPage(page, `tab.heard.ids.length === ${own.length}`)
      t.same(await page.evaluate('tab.heard.ids'), own)
      t.equal(await page.evaluate('tab.belfry.unread'), own.length)
    }
    await until(async () => ((await pages[0]?.evaluate('raised().length')) as number) === 3, 'three toasts')
    for (const [user, from] of [
      ['alice', 0],
      ['bob', 1]
    ] as const) {
      const own = [pages[from], pages[from + 2]] as Page[]
      const raised = (await Promise.all(own.map((page) => page.evaluate('tab.heard.toasts.map(({ id }) => id)')))).flat()
      t.same(raised.toSorted(), ids[user].toSorted(), 'in a tab of their own')
      const keys = (await own[0]?.evaluate(`Object.keys(localStorage).filter((key) => key.includes(':${user}:'))`)) as string[]
      t.ok(keys.some((key) => key.endsWith(':last')))
    }
    await pages[0]?.close()
    await untilInPage(pages[2] as Page, 'tab.belfry.leader && tab.belfry.state === "connected"')
    t.equal(await pages[3]?.evaluate('tab.belfry.leader'), false, 'the other user has a leader')
  })

  await t.test('sign out and in as another user, in one tab', async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    let signedIn = 'carol'
    host.token = () => userToken(signedIn)
    t.teardown(() => {
      host.token = (user) => userToken(user)
    })
    await publish(service, 'carol', ...numbered('carol', 1, 2))
    await publish(service, 'dave', ...numbered('dave', 1, 2))
    const page = await open(t, context, host, 'tab', query('anybody'))
    await untilInPage(page, 'globalThis.tab?.heard.ids.length === 2')
    await page.evaluate('tab.belfry.disconnect()')
    signedIn = 'dave'
    await page.evaluate('tab.belfry.connect()')
    await untilInPage(page, 'tab.heard.ids.length === 4')
    t.same(await page.evaluate('tab.heard.titles'), [...numbered('carol', 1, 2), ...numbered('dave', 1, 2)])
    t.same(await page.evaluate('tab.heard.users'), [{ user: 'dave', previous: 'carol' }])
    await until(async () => (await connectionsOf('carol')) === 0, 'the end of the connection of carol')
    await publish(service, 'carol', 'carol 3')
    await publish(service, 'dave', 'dave 3')
    await untilInPage(page, 'tab.heard.titles.at(-1) === "dave 3"')
    t.equal(await page.evaluate('tab.heard.titles.length'), 5)

    const keys = (user: string) =>
      page.evaluate(`Object.keys(localStorage).filter((key) => key.includes(':${user}:'))`) as Promise<string[]>
    t.not((await keys('dave')).length, 0)
    const device = await page.evaluate('tab.belfry.deviceId')
    await page.evaluate('tab.belfry.forget()')
    t.same(await keys('dave'), [])
    t.same(await page.evaluate('[tab.belfry.user, tab.belfry.unread, tab.belfry.state]'), ['', 0, 'disconnected'])
    signedIn = 'carol'
    await page.evaluate('tab.belfry.connect()')
    await untilInPage(page, 'tab.heard.titles.at(-1) === "carol 3"')
    t.equal(await page.evaluate('tab.heard.titles.length'), 6, 'she goes on where she was')
    t.equal(await page.evaluate('tab.belfry.deviceId'), device)
    await until(async () => (await connectionsOf('dave')) === 0, 'the end of the connection of dave')
  })

  await t.test('the session changes without the two tabs: both change users, and nothing mixes', async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    let signedIn = 'erin'
    // Short-lived tokens: the SDK fetches the next one within seconds.
    host.token = () => userToken(signedIn, {}, 8)
    t.teardown(() => {
      host.token = (user) => userToken(user)
    })
    await publish(service, 'erin', ...numbered('erin', 1, 2))
    await publish(service, 'frank', ...numbered('frank', 1, 2))
    const pages: Page[] = []
    for (let n = 0; n < 2; n++) {
      const page = await open(t, context, host, 'tab', query('anybody'))
      await untilInPage(page, 'globalThis.tab?.belfry.state === "connected"')
      pages.push(page)
    }
    await untilInPage(pages[0] as Page, 'tab.heard.ids.length === 2')
    signedIn = 'frank'
    for (const page of pages) await untilInPage(page, 'tab.belfry.user === "frank" && tab.belfry.state === "connected"')
    await publish(service, 'erin', 'erin 3')
    await publish(service, 'frank', 'frank 3')
    for (const page of pages) {
      await untilInPage(page, 'tab.heard.titles.at(-1) === "frank 3"')
      const titles = (await page.evaluate('tab.heard.titles')) as string[]
      t.same(
        titles.filter((title) => title.startsWith('frank')),
        titles.slice(titles.findIndex((title) => title.startsWith('frank')))
      )
      t.notOk(titles.includes('erin 3'))
      t.same(await page.evaluate('tab.heard.users'), [{ user: 'frank', previous: 'erin' }])
    }
    await until(async () => (await connectionsOf('erin')) === 0 && (await connectionsOf('frank')) === 1, 'one connection')
  })

  await t.test('60 missed notifications are one toast', async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    const ids = await publish(service, 'gil', ...numbered('gil', 1, 60))
    const page = await open(t, context, host, 'tab', query('gil'))
    await untilInPage(page, 'globalThis.tab?.heard.toasts.length === 1 && tab.heard.ids.length === 60')
    await publish(service, 'gil', 'gil 61')
    await untilInPage(page, 'tab.heard.toasts.length > 1')
    const [first, second, ...more] = (await page.evaluate('tab.heard.toasts')) as { id: string; count?: number }[]
    t.match(first, { id: ids[59], count: 60 })
    t.equal(second?.count, undefined)
    t.same(more, [])
  })

  await t.test("the bell's attribute user: a change empties the bell at once and makes a new client; '' does not connect", async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    let signedIn = 'hal'
    host.token = () => userToken(signedIn)
    t.teardown(() => {
      host.token = (user) => userToken(user)
    })
    await publish(service, 'hal', ...numbered('hal', 1, 2))
    await publish(service, 'ida', ...numbered('ida', 1, 3))
    const page = await open(t, context, host, 'bell', query('anybody'))
    const titles = (): Promise<string[]> =>
      page.evaluate(`[...bell.shadowRoot.querySelectorAll('[role=listitem] .title, li .title')].map(({ textContent }) => textContent)`)
    await page.evaluate('bell.user = "hal"')
    await untilInPage(page, 'bell.unread === 2')
    await page.evaluate('bell.open()')
    await until(async () => (await titles()).length === 2, 'the list')
    await page.evaluate('bell.close()')

    await page.evaluate('globalThis.before = bell.client; bell.user = ""')
    await untilInPage(page, 'bell.client === undefined && bell.unread === 0')
    t.same(await titles(), [], 'nothing of them is left in the document, though the panel is closed')
    t.equal(await page.evaluate('before.state'), 'disconnected')
    await until(async () => (await connectionsOf('hal')) === 0, 'no connection')

    signedIn = 'ida'
    await page.evaluate('bell.setAttribute("user", "ida")')
    await untilInPage(page, 'bell.client !== before && bell.unread === 3')
    await page.evaluate('bell.open()')
    await until(async () => (await titles()).length === 3, 'the list')
    t.same((await titles()).toSorted(), numbered('ida', 1, 3))

    signedIn = 'hal'
    const seen = await page.evaluate(`bell.client.token(true).then(() => [bell.unread, bell.client.user])`)
    t.same(seen, [0, 'hal'], 'a token of another user empties it as well')
    await untilInPage(page, 'bell.unread === 2')
    await until(async () => (await titles()).length === 2, 'the list of the other')
    t.same((await titles()).toSorted(), numbered('hal', 1, 2))
  })

  await t.test("BelfryProvider's user: no render shows one user the other's", async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    host.files.set('/react-app.js', await bundleReactApp())
    let signedIn = 'jan'
    host.token = () => userToken(signedIn)
    t.teardown(() => {
      host.token = (user) => userToken(user)
    })
    await publish(service, 'jan', ...numbered('jan', 1, 3))
    await publish(service, 'kim', ...numbered('kim', 1, 2))
    const page = await open(t, context, host, 'app', query('jan'))
    const count = (n: number) => untilInPage(page, `document.querySelectorAll('li').length === ${n}`)
    await count(3)
    signedIn = 'kim'
    await page.evaluate('signIn("kim")')
    await count(2)
    await page.evaluate('signIn(null)')
    await untilInPage(page, `document.querySelector('#state')?.textContent === 'disconnected'`)
    await count(0)
    await until(async () => (await connectionsOf('jan')) + (await connectionsOf('kim')) === 0, 'no connection is open')
    signedIn = 'jan'
    await page.evaluate('signIn("jan")')
    await count(3)
    const rendered = (await page.evaluate('rendered')) as { user: string | null; titles: string[] }[]
    t.ok(rendered.length > 5)
    t.same(
      rendered.filter(({ user, titles }) => titles.some((title) => !title.startsWith(`${user} `))),
      []
    )
    for (const user of ['jan', 'kim']) t.ok(rendered.some((one) => one.user === user && one.titles.length > 0))
  })
})
