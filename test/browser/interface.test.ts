import t from 'tap'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'
import { focused, openBell, publish, violations } from './bell-page.ts'
import { boxes, bundleReactApp, launch, startHost, untilInPage } from './browser.ts'

const PAGE = 50

t.setTimeout(120_000)

t.test('the bell and the hooks', async (t) => {
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
    t.equal(await walk('Tab'), 'Options: three')
    await keyboard.press('Shift+Tab')
    t.equal(await walk('Shift+Tab'), 'three')
    await keyboard.press('Enter')
    await page.getByRole('button', { name: 'Notifications, 2 unread' }).waitFor()
    t.equal(await page.evaluate('location.hash'), '#there', 'a reference is a link')
    await keyboard.press('Tab')
    await keyboard.press('Enter')
    await until(async () => (await dialog.getByRole('listitem').count()) === 2, 'the archived one to go')
    await until(async () => (await focused(page)) === 'two', 'the focus on the next row')

    await keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    await until(async () => (await focused(page)) === 'Notifications, 2 unread', 'the focus back on the button')
    await keyboard.press('Space')
    await dialog.waitFor()
    await until(async () => (await focused(page)) === 'two', 'the focus on two')
    t.equal(await walk('Shift+Tab'), 'All 2')
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

  await t.test('another getToken keeps the client of the same user, and is called; without user it makes a new client', async (t) => {
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(`${host.url}/token.html`)
    await untilInPage(page, 'bell.client?.state === "connected"')
    const replace = `globalThis.before = bell.client
      bell.getToken = async () => { globalThis.asked = true; return (await fetch('/token?user=early')).text() }`
    await page.evaluate(replace)
    await untilInPage(page, 'bell.client !== before && bell.client?.state === "connected"')
    await page.evaluate('bell.user = "early"')
    await untilInPage(page, 'bell.client !== before && bell.client?.state === "connected"')
    for (let n = 0; n < 3; n++) {
      await page.evaluate(`asked = false; ${replace}`)
      await page.evaluate('bell.client.token(true)')
      t.same(await page.evaluate('[bell.client === before, bell.client.state, asked]'), [true, 'connected', true])
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
    await until(() => lines.length > 0, 'the line')
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
    t.equal(await rows.first().locator('.title').textContent(), 'number 149', 'the newest wait above a list that is scrolled')
    await page.getByRole('button', { name: '3 new ↑' }).click()
    await until(async () => (await rows.first().locator('.title').textContent()) === 'c', 'the newest on top')
  })

  await t.test('the panel says empty, offline and disconnected; a click outside closes it; right to left', async (t) => {
    const page = await openBell(t, browser, host, service, 'nobody', { dir: 'rtl' })
    await page.getByRole('button', { name: 'الإشعارات، 0 غير مقروء' }).click()
    await page.getByText('All caught up').waitFor()
    t.equal(await page.evaluate('getComputedStyle(bell.shadowRoot.querySelector(".panel")).direction'), 'rtl')
    t.same(await violations(page), [])
    const { panel } = await boxes(page, { panel: '.panel' })
    t.ok(panel.left >= 0 && panel.right <= 900, 'inside of the window')
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
    await untilInPage(page, 'bell.client.state === "connected"')
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
    await until(async () => (await call(service, 'GET', '/v1/users/carol/notifications')).body.unread === 0, 'the service to mark them')
    const connections = async (): Promise<number> => (await call(service, 'GET', '/v1/users/carol/connections')).body.items.length
    await until(async () => (await connections()) === 1, 'one connection: strict mode mounts twice')
    await page.locator('#switch').click()
    await until(async () => (await connections()) === 0, 'the end')
    t.same(failures, [])
  })
})
