import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, temporaryFolder, userToken } from '../helper.ts'
import { focused, openBell, publish, violations } from './bell-page.ts'
import { bundleReactApp, launch, startHost, untilInPage } from './browser.ts'

const PAGE = 50

/** Starts the process as `npm start` does, with a generated secret. Resolves with the address of its demo. */
async function startProcess(t: Test): Promise<string> {
  const server = fileURLToPath(new URL('../../server.js', import.meta.url))
  const child = spawn(process.execPath, [server], {
    env: { PATH: process.env.PATH, PORT: '0', DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'fatal' },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  })
  let printed = ''
  child.stdout.on('data', (data) => {
    printed += data
  })
  return until(() => /Demo: (\S+)\n/.exec(printed)?.[1], 'the address of the demo')
}

t.setTimeout(120_000)

t.test('the bell, the hooks and the demo', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0', LOG_MAX_ENTRIES: '500' })
  const browser = await launch(t)

  await t.test('the bell by keyboard only', async (t) => {
    await publish(service, 'alice', 'one', 'two', 'three')
    const page = await openBell(t, browser, host, service, 'alice')
    const bell = page.getByRole('button', { name: 'Notifications, 3 unread' })
    await bell.waitFor()
    t.equal(await bell.getAttribute('aria-expanded'), 'false')
    const { keyboard } = page

    await page.focus('#before')
    await keyboard.press('Tab')
    t.equal(await focused(page), 'Notifications, 3 unread')
    await keyboard.press('Enter')
    const dialog = page.getByRole('dialog', { name: 'Notifications' })
    await dialog.waitFor()
    await dialog.getByRole('listitem').nth(2).waitFor()
    t.equal(await bell.getAttribute('aria-expanded'), 'true')
    t.equal(await dialog.getByRole('list').count(), 1)
    await until(async () => (await focused(page)) === 'three', 'the focus on the first row')

    const walk = async (key: string): Promise<string> => {
      await keyboard.press(key)
      return focused(page)
    }
    t.equal(await walk('ArrowDown'), 'two')
    t.equal(await walk('End'), 'one')
    t.equal(await walk('ArrowDown'), 'one', 'and no further')
    t.equal(await walk('Home'), 'three')
    t.equal(await walk('Tab'), 'Archive: three')
    t.equal(await walk('Shift+Tab'), 'three')
    await keyboard.press('Enter')
    await page.getByRole('button', { name: 'Notifications, 2 unread' }).waitFor()
    t.equal(await page.evaluate('location.hash'), '#there', 'a reference is a link')
    await keyboard.press('Tab')
    await keyboard.press('Enter')
    await until(async () => (await dialog.getByRole('listitem').count()) === 2, 'the archived one to go')
    t.equal(await focused(page), 'two', 'the focus goes to the next row')

    await keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    t.equal(await focused(page), 'Notifications, 2 unread', 'the focus is back on the button')
    await keyboard.press('Space')
    await dialog.waitFor()
    t.equal(await focused(page), 'two')
    t.equal(await walk('Shift+Tab'), 'Mark all read')
    await keyboard.press('Enter')
    await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()
    t.equal(await dialog.getByRole('button', { name: 'Mark all read' }).count(), 0)
    await keyboard.press('Escape')
    await keyboard.press('Tab')
    t.equal(await focused(page), 'After', 'what is closed is not in the tab order')

    await publish(service, 'alice', 'four')
    await page.getByText('New notification: four').waitFor({ state: 'attached' })
    const events = (await page.evaluate('events')) as string[]
    t.same(
      events.filter((event) => event !== 'belfry-notification' && event !== 'belfry-toast'),
      ['belfry-open', 'belfry-select', 'belfry-close', 'belfry-open', 'belfry-close']
    )
    t.ok(events.includes('belfry-notification'))
  })

  await t.test('properties set before the element is defined apply, and make one client', async (t) => {
    let tokens = 0
    const { token } = host
    host.token = (user) => {
      tokens++
      return token(user)
    }
    t.teardown(() => {
      host.token = token
    })
    const body = (attributes: string, script: string): string => `<!doctype html><title>Early</title>
      <belfry-bell url="${service.url}" ${attributes}></belfry-bell>
      <script>globalThis.bell = document.querySelector('belfry-bell'); ${script}</script>
      <script type="module" src="client/bell.js"></script>`
    host.files.set('/early.html', body('token-url="/token?user=early"', 'bell.messages = { title: "Early", button: () => "Early" }'))
    host.files.set('/token.html', body('', 'bell.getToken = async () => (await fetch("/token?user=early")).text()'))
    const page = await browser.newPage()
    t.teardown(() => page.close())
    for (const [path, name] of [
      ['early', 'Early'],
      ['token', 'Notifications']
    ] as const) {
      tokens = 0
      await page.goto(`${host.url}/${path}.html`)
      await untilInPage(page, 'bell.client?.state === "connected"')
      await page.getByRole('button', { name, exact: true }).waitFor()
      t.equal(tokens, 1)
    }
  })

  await t.test('a token-url that answers with a page of HTML is reported: belfry-error, and one line in the console', async (t) => {
    const { token } = host
    host.token = () => '<!doctype html><title>Sign in</title>'
    t.teardown(() => {
      host.token = token
    })
    host.files.set(
      '/signed-out.html',
      `<!doctype html><title>Signed out</title><belfry-bell url="${service.url}" token-url="/token?user=out"></belfry-bell>
      <script>
        globalThis.bell = document.querySelector('belfry-bell')
        globalThis.errors = []
        addEventListener('belfry-error', ({ detail }) => errors.push(detail.code + ': ' + detail.message))
      </script>
      <script type="module" src="client/bell.js"></script>`
    )
    const page = await browser.newPage()
    t.teardown(() => page.close())
    const lines: string[] = []
    page.on('console', (message) => lines.push(`${message.type()}: ${message.text()}`))
    await page.goto(`${host.url}/signed-out.html`)
    await untilInPage(page, 'errors.length === 2')
    t.match(
      await page.evaluate('errors[0]'),
      /^BELFRY_CLIENT_TOKEN: TypeError: getToken gave no token: expected a JWT as a string, got other text/
    )
    t.match(lines, [/^warning: Belfry: getToken gave no token/])
    t.equal(lines.length, 1)
    host.token = token
    await untilInPage(page, 'bell.client.state === "connected"')
  })

  await t.test('many notifications: the badge, pages on scrolling, one sentence for a burst', async (t) => {
    await publish(service, 'many', ...Array.from({ length: 150 }, (_, n) => `number ${n}`))
    const page = await openBell(t, browser, host, service, 'many', { fresh: '1' })
    await page.getByText('99+').waitFor()
    await page.getByRole('button', { name: 'Notifications, 150 unread' }).click()
    const rows = page.getByRole('dialog').getByRole('listitem')
    await until(async () => (await rows.count()) >= PAGE, 'a page')
    await until(async () => {
      await rows.last().scrollIntoViewIfNeeded()
      return (await rows.count()) === 150
    }, 'the last page')
    t.equal(await rows.first().locator('.title').textContent(), 'number 149')
    t.equal(await rows.last().locator('.title').textContent(), 'number 0')
    await publish(service, 'many', 'a', 'b', 'c')
    await page.getByText('3 new notifications').waitFor({ state: 'attached' })
    await until(async () => (await rows.first().locator('.title').textContent()) === 'c', 'the newest on top')
  })

  await t.test('the panel says empty, offline and disconnected; a click outside closes it; right to left', async (t) => {
    const page = await openBell(t, browser, host, service, 'nobody', { dir: 'rtl' })
    await page.getByRole('button', { name: 'الإشعارات، 0 غير مقروء' }).click()
    await page.getByText('All caught up').waitFor()
    t.equal(await page.evaluate('getComputedStyle(bell.shadowRoot.querySelector(".panel")).direction'), 'rtl')
    t.same(await violations(page), [])
    const box = await page.getByRole('dialog').boundingBox()
    t.ok(box !== null && box.x >= 0 && box.x + box.width <= 900, 'inside of the window')
    await page.mouse.click(450, 680)
    await page.getByRole('dialog').waitFor({ state: 'hidden' })

    await call(service, 'DELETE', '/v1/users/nobody/connections')
    await page.getByRole('button', { name: 'الإشعارات، 0 غير مقروء' }).click()
    await page.getByText('The connection was closed.').waitFor()
    await page.getByRole('button', { name: 'Reconnect' }).click()
    await untilInPage(page, 'bell.client.state === "connected"')
    await page.getByText('The connection was closed.').waitFor({ state: 'hidden' })

    const proxy = await TcpProxy.start(Number(new URL(service.url).port))
    t.teardown(() => proxy.stop())
    await page.evaluate(`bell.setAttribute('url', 'http://127.0.0.1:${proxy.port}')`)
    await untilInPage(page, `bell.client.url.endsWith(':${proxy.port}') && bell.client.state === 'connected'`)
    await page.getByText('Offline. Reconnecting…').waitFor({ state: 'hidden' })
    proxy.refuse(true)
    await page.getByText('Offline. Reconnecting…').waitFor()
    proxy.refuse(false)
    await page.evaluate('dispatchEvent(new Event("online"))')
    await page.getByText('Offline. Reconnecting…').waitFor({ state: 'hidden' })
    t.equal(await page.evaluate('bell.client.state'), 'connected')
  })

  for (const scheme of ['light', 'dark'] as const) {
    await t.test(`axe-core finds nothing wrong with the bell, ${scheme}`, async (t) => {
      const page = await openBell(t, browser, host, service, 'alice', {}, scheme)
      t.same(await violations(page), [], 'closed')
      await page.getByRole('button', { name: /^Notifications/ }).click()
      await page.getByRole('dialog').getByRole('listitem').first().waitFor()
      await untilInPage(page, 'bell.shadowRoot.getAnimations().length === 0')
      t.same(await violations(page), [], 'open')
    })
  }

  await t.test('React: the hooks render and follow', async (t) => {
    host.files.set('/react-app.js', await bundleReactApp())
    await publish(service, 'carol', ...Array.from({ length: PAGE + 5 }, (_, n) => `number ${n}`))
    const page = await browser.newPage()
    t.teardown(() => page.close())
    const failures: string[] = []
    page.on('pageerror', (error) => failures.push(error.message))
    page.on('console', (message) => message.type() === 'error' && failures.push(message.text()))
    await page.goto(`${host.url}/app.html?${new URLSearchParams({ user: 'carol', service: service.url })}`)
    await untilInPage(page, 'document.querySelector("#state")?.textContent === "connected"')
    await untilInPage(page, `document.querySelector('#count').textContent === '${PAGE + 5}'`)
    await untilInPage(page, `document.querySelectorAll('li').length >= ${PAGE}`)
    await publish(service, 'carol', 'live')
    await page.getByRole('button', { name: 'live' }).waitFor()
    await untilInPage(page, `document.querySelector('#count').textContent === '${PAGE + 6}'`)
    const renders = await page.evaluate('countRenders')
    await page.getByRole('button', { name: 'live' }).click()
    await page.locator('li.read').waitFor()
    await untilInPage(page, `document.querySelector('#count').textContent === '${PAGE + 5}'`)
    t.ok(((await page.evaluate('countRenders')) as number) - (renders as number) <= 4, 'the count renders only when it changes')
    await page.locator('#all').click()
    await untilInPage(page, 'document.querySelector("#count").textContent === "0"')
    t.equal((await call(service, 'GET', '/v1/users/carol/notifications')).body.unread, 0)
    t.equal((await call(service, 'GET', '/v1/users/carol/connections')).body.items.length, 1, 'strict mode mounts twice, and leaves one')
    await page.locator('#switch').click()
    await until(async () => (await call(service, 'GET', '/v1/users/carol/connections')).body.items.length === 0, 'the end')
    t.same(failures, [])
  })

  await t.test('the demo: screens follow, one goes offline and comes back, a burst drains, a recall', async (t) => {
    const demo = await startProcess(t)
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, bypassCSP: true })
    t.teardown(() => page.close())
    const failures: string[] = []
    page.on('pageerror', (error) => failures.push(error.message))
    page.on('console', (message) => message.type() === 'error' && failures.push(message.text()))
    await page.goto(demo)
    const tab = page.frameLocator('iframe[title="Tab 2"]')
    const phone = page.frameLocator('iframe[title="Phone 1"]')
    await tab.getByText('shared socket').waitFor()
    await phone.getByText('own socket').waitFor()
    await untilInPage(page, 'document.querySelector("#connections").textContent === "2"')

    await page.getByRole('button', { name: 'Send to alice' }).click()
    for (const screen of [tab, phone]) await screen.getByRole('button', { name: 'Sync finished unread: mark read' }).waitFor()
    await untilInPage(page, 'document.querySelector("#latency").textContent.endsWith(" ms")')
    await tab.getByRole('button', { name: /^Sync finished/ }).click()
    await phone.getByRole('button', { name: 'Sync finished read: mark unread' }).waitFor()

    await phone.getByRole('button', { name: 'Go offline' }).click()
    await page.getByLabel('Title').fill('Build')
    await page.getByRole('button', { name: 'Burst of 50' }).click()
    await untilInPage(page, 'Number(document.querySelector("#parked").textContent) > 0')
    await untilInPage(page, 'document.querySelector("#parked").textContent === "0"')
    await tab.getByRole('button', { name: 'Build 50 unread: mark read' }).waitFor()
    t.equal(await tab.locator('li').count(), 51)
    t.equal(await phone.locator('li').count(), 1, 'offline')
    await phone.getByRole('button', { name: 'Come back' }).click()
    await phone.getByRole('button', { name: 'Build 50 unread: mark read' }).waitFor()
    await page.getByRole('button', { name: 'Recall last' }).click()
    for (const screen of [tab, phone]) await until(async () => (await screen.locator('li').count()) === 50, 'the recall')
    t.ok((await page.locator('#frames li').count()) > 50, 'the frames are shown')
    t.notMatch(await page.locator('#frames').textContent(), /eyJ/, 'without tokens')

    await page.getByRole('button', { name: 'Count up' }).click()
    await Promise.all([tab, phone].map((screen) => screen.getByRole('button', { name: /^Export: / }).waitFor()))
    for (const screen of [tab, phone]) {
      await screen.getByRole('button', { name: /^Export finished/ }).waitFor()
      t.equal(await screen.locator('li').count(), 51, 'one row')
    }
    t.equal(await page.locator('#toasts p').count(), 1, 'one toast')
    await page.getByRole('button', { name: 'In 10 s' }).click()
    await page.getByRole('button', { name: 'Gone in 8 s' }).click()
    await phone.getByRole('button', { name: /^Your code is 4711/ }).waitFor()
    await phone.getByRole('button', { name: 'Go offline' }).click()
    await page.getByRole('button', { name: 'Approval' }).click()
    await tab.getByRole('button', { name: 'Approve', exact: true }).waitFor()
    await tab.getByRole('button', { name: /^Your code is 4711/ }).waitFor({ state: 'detached' })
    await phone.getByRole('button', { name: 'Come back' }).click()
    await phone.getByRole('button', { name: /^Your code is 4711/ }).waitFor({ state: 'detached' })
    await phone.getByRole('button', { name: 'Approve', exact: true }).click()
    await phone.getByText('Approve, answered here').waitFor()
    await tab.getByText('Approve, answered on Phone 1').waitFor()
    t.equal(await tab.getByRole('button', { name: 'Reject', exact: true }).count(), 0)
    for (const screen of [tab, phone]) await screen.getByRole('button', { name: /^Stand-up begins/ }).waitFor()

    await page.getByRole('button', { name: /^Notifications/ }).click()
    await page.getByRole('dialog').getByRole('listitem').first().waitFor()
    await page.getByText('Answered on another device (phone-1): Approve').waitFor()
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      t.same(await violations(page), [], colorScheme)
    }
    t.ok(page.frames().length >= 3, 'the screens were among it')
    t.same(failures, [])
  })

  await t.test('with a configured secret the demo signs nothing, publishes nothing, and asks for a token', async (t) => {
    const real = await startService(t, { DEMO: 'true' })
    t.match(await call(real, 'POST', '/demo/session', { user: 'alice' }, { token: '' }), { status: 404 })
    t.match(await call(real, 'POST', '/demo/publish', { user: 'alice', type: 'a', title: 'x' }, { token: '' }), { status: 404 })
    t.match(await call(real, 'POST', '/demo/recall', { user: 'alice', id: 'x' }, { token: '' }), { status: 404 })
    t.match(await call(service, 'GET', '/demo'), { status: 404 })
    const { headers } = await call(real, 'GET', '/demo')
    t.match(headers.get('content-security-policy'), /default-src 'self'/)
    t.equal(headers.get('cache-control'), 'no-cache')
    // Browsers revalidate so. Without it fetch adds `cache-control: no-cache` to a conditional request, which requests the whole answer.
    const revalidation = { 'if-none-match': headers.get('etag') ?? '', 'cache-control': 'max-age=0' }
    t.equal((await call(real, 'GET', '/demo', undefined, { headers: revalidation })).status, 304)
    t.match(await call(real, 'GET', '/demo/..%2fpackage.json'), { status: 404 })

    const page = await browser.newPage()
    t.teardown(() => page.close())
    const refused: string[] = []
    page.on('console', (message) => /Content Security Policy/.test(message.text()) && refused.push(message.text()))
    await page.goto(`${real.url}/demo`)
    await page.getByLabel('Token of a user').fill('not a token')
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByText('This is not a token of a user.').waitFor()
    await page.getByLabel('Token of a user').fill(userToken('zoe'))
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.frameLocator('iframe[title="Tab 2"]').getByText('shared socket').waitFor()
    await publish(real, 'zoe', 'pasted')
    await page
      .frameLocator('iframe[title="Phone 1"]')
      .getByRole('button', { name: /^pasted/ })
      .waitFor()
    t.equal(await page.getByRole('button', { name: 'Send to zoe' }).isDisabled(), true)
    t.same(refused, [], 'the page keeps to its policy')
  })
})
