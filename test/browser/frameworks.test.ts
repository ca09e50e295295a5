import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { Plugin } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { svelte, vue } from '../fixtures/framework-plugins.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, type TestService } from '../helper.ts'
import { violations } from './bell-page.ts'
import { bundleApp, type Host, launch, startHost, untilInPage } from './browser.ts'

const require = createRequire(import.meta.url)

interface Rig {
  host: Host
  service: TestService
  browser: Browser
  publish(title: string, type?: string, data?: Record<string, unknown>): Promise<void>
  connections(): Promise<number>
}

async function rig(t: Test): Promise<Rig> {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' })
  const browser = await launch(t)
  const publish = async (title: string, type = 'mail', data = {}): Promise<void> => {
    await call(service, 'POST', '/v1/notifications', { to: 'alice', type, title, data, ref: '/there' })
  }
  const connections = async (): Promise<number> => (await call(service, 'GET', '/v1/users/alice/connections')).body.items.length
  return { host, service, browser, publish, connections }
}

/** Opens a page with a script, and a server's markup if there is one. Returns it with what it and React complained about. */
async function open(t: Test, { host, service, browser }: Rig, script: string, markup = ''): Promise<{ page: Page; faults: string[] }> {
  host.files.set('/app.js', script)
  host.files.set(
    '/framework.html',
    `<!doctype html><html lang="en"><head><title>An app</title><link rel="icon" href="data:,"></head>
    <body><main id="root">${markup}</main><script type="module" src="app.js"></script></body></html>`
  )
  const page = await browser.newPage({ viewport: { width: 900, height: 700 } })
  t.teardown(() => page.close())
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => /error|warning/.test(message.type()) && faults.push(message.text()))
  await page.goto(`${host.url}/framework.html?${new URLSearchParams({ user: 'alice', service: service.url })}`)
  return { page, faults }
}

const bundleReact = (): Promise<string> => bundleApp({ entryPoints: ['test/browser/pages/react-bell.jsx'] })

t.setTimeout(120_000)

t.test('React: the elements share the client of the provider, their events and rows are those of the app', async (t) => {
  const rigged = await rig(t)
  const { publish, connections } = rigged
  await publish('one')
  const { page, faults } = await open(t, rigged, await bundleReact())
  const button = page.getByRole('button', { name: /^Notifications/ })
  await button.waitFor()
  await until(async () => (await connections()) === 1, 'one connection, in strict mode, for the hooks and both elements')
  t.equal(await page.locator('belfry-bell').getAttribute('class'), 'my-bell')
  t.equal(await page.locator('belfry-bell').getAttribute('badge'), 'unseen')
  t.equal(await page.locator('belfry-inbox').getAttribute('lang'), 'de')
  await button.click()
  const row = page.locator('belfry-bell .own-row')
  await row.waitFor()
  t.match(await row.textContent(), /^one: /)
  t.equal(await row.getAttribute('data-accent'), 'blue', 'a row has the contexts of the place of the element')
  t.ok(await page.getByText('of my app').isVisible(), 'a slot')
  t.ok(await page.getByRole('tab', { name: /Syncs/ }).first().isVisible(), 'a tab of the app')
  await publish('two')
  await until(async () => (await row.count()) === 2, 'a live row')
  const clicks = row.filter({ hasText: 'one' }).getByRole('button')
  await clicks.click()
  await publish('three')
  await until(async () => (await row.count()) === 3, 'another')
  t.equal(await clicks.textContent(), '1 clicks', 'a row keeps its state')
  await page.evaluate('bell.client.mark(bell.client.lastEventId && { upTo: bell.client.lastEventId }, "archived")')
  await untilInPage(page, 'mountedRows === 0')
  t.equal(await row.count(), 0, 'rows that left are unmounted')

  await publish('four')
  await row.filter({ hasText: 'four' }).waitFor()
  await page.evaluate('setPlain(true)')
  await row.waitFor({ state: 'detached' })
  await page.evaluate('bell.close(); bell.open()')
  await page.locator('belfry-bell').getByRole('link', { name: /four/ }).click()
  const heard = (await page.evaluate('events')) as [string, string | null][]
  t.same(
    heard.filter(([name]) => name !== 'notification'),
    [
      ['open', null],
      ['close', null],
      ['open', null],
      ['select', 'four']
    ]
  )
  t.same(
    heard.flatMap(([name, title]) => (name === 'notification' ? [title] : [])),
    ['one', 'two', 'three', 'four'],
    'once each'
  )
  t.notMatch(page.url(), /there/, 'preventDefault() works')
  await untilInPage(page, 'document.querySelector("#count").textContent === "0"')
  t.same(await violations(page), [])

  await page.evaluate('setOn(false)')
  await page.locator('belfry-bell').waitFor({ state: 'detached' })
  await page.evaluate('setOn(true)')
  await page
    .locator('belfry-bell')
    .getByRole('button', { name: /^Notifications/ })
    .waitFor()
  await page.evaluate('setUser(null)')
  await until(async () => (await connections()) === 0, 'nobody is signed in')
  await untilInPage(page, 'bell.client === undefined')
  t.same(faults, [])
})

t.test('React: a page from a server is hydrated without a difference', async (t) => {
  const rigged = await rig(t)
  await rigged.publish('one')
  const [{ createElement, Fragment }, { renderToString }, react] = [
    require('react'),
    require('react-dom/server'),
    await import(pathToFileURL('packages/client/dist/react.js').href)
  ]
  const service = { url: rigged.service.url, getToken: () => '' }
  const bell = createElement(
    react.BelfryBell,
    { className: 'my-bell', badge: 'unseen', placement: 'start', renderItem: Fragment },
    createElement('b', { slot: 'header' }, 'of my app')
  )
  const inbox = createElement(react.BelfryInbox, { id: 'inbox', style: { maxWidth: '40rem' }, lang: 'de' })
  const markup = renderToString(createElement(react.BelfryProvider, service, createElement('output', { id: 'count' }, 0), bell, inbox))
  const { page, faults } = await open(t, rigged, await bundleReact(), markup)
  await untilInPage(page, 'document.querySelector("#count").textContent === "1"')
  await page.getByRole('button', { name: /^Notifications/ }).click()
  await page.locator('belfry-bell .own-row').waitFor()
  t.same(faults, [])
})

const example = (framework: string, plugin: Plugin, mount: string, conditions: string[] = []): Promise<string> =>
  bundleApp({
    stdin: {
      contents: `import Bell from './examples/notification-bell.${framework}'
        const { searchParams } = new URL(location.href)
        const getToken = async () => (await fetch('/token?user=alice')).text()
        const navigate = (ref) => { globalThis.went = ref }
        const props = { url: searchParams.get('service'), getToken }
        ${mount}`,
      resolveDir: '.'
    },
    plugins: [plugin],
    conditions
  })

t.test('the Vue example', async (t) => {
  const rigged = await rig(t)
  await rigged.publish('half', 'sync.progress', { percent: 50 })
  await rigged.publish('mail')
  const mount = `import { createApp } from 'vue/dist/vue.runtime.esm-bundler.js'
    createApp(Bell, { ...props, user: 'alice', onNavigate: navigate }).mount('#root')`
  const { page, faults } = await open(t, rigged, await example('vue', vue, mount))
  await page.getByRole('button', { name: /^Notifications, 2/ }).click()
  await page.getByText('2 unread').waitFor()
  await page.locator('belfry-bell progress[max="100"]').waitFor()
  const { items } = (await call(rigged.service, 'GET', '/v1/users/alice/notifications')).body
  const half = items.find(({ title }: { title: string }) => title === 'half')
  await call(rigged.service, 'POST', '/v1/users/alice/notifications/mark', { ids: [half.id], state: 'read' })
  await page.getByText('1 unread').waitFor()
  t.ok(await page.getByRole('link', { name: 'Settings' }).isVisible())
  await page.getByRole('dialog').getByRole('link', { name: /mail/ }).click()
  await untilInPage(page, 'globalThis.went === "/there"')
  t.same(await rigged.connections(), 1)
  t.same(
    faults.filter((fault) => !fault.startsWith('Feature flag')),
    []
  )
})

t.test('the Svelte example', async (t) => {
  const rigged = await rig(t)
  await rigged.publish('half', 'sync.progress')
  await rigged.publish('mail')
  const mount = `import { mount } from 'svelte'
    mount(Bell, { target: document.getElementById('root'), props: { ...props, navigate } })`
  const { page, faults } = await open(t, rigged, await example('svelte', svelte, mount, ['svelte', 'browser']))
  await page.getByText('2 unread').waitFor()
  await page.getByRole('button', { name: /^Notifications/ }).waitFor()
  const inbox = page.locator('belfry-inbox')
  await inbox.getByRole('link', { name: /mail/ }).click()
  await untilInPage(page, 'globalThis.went === "/there"')
  await inbox.getByRole('tab', { name: /Syncs/ }).click()
  await inbox.getByText('mail').waitFor({ state: 'hidden' })
  t.ok(await inbox.getByText('half').isVisible())
  t.same(await rigged.connections(), 1, 'the bell and the inbox share one client')
  t.same(faults, [])
})
