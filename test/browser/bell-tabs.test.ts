import type { Page, WebSocketRoute } from 'playwright-core'
import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'
import { focused, openBell, publish } from './bell-page.ts'
import { launch, measure, startHost, untilInPage } from './browser.ts'

t.setTimeout(180_000)

t.test('tabs, menus, undo and what is seen', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0', LOG_MAX_ENTRIES: '2000' })
  const browser = await launch(t)
  const rowsOf = (page: Page) => page.getByRole('dialog').getByRole('listitem')
  const titles = (page: Page) => rowsOf(page).locator('.title').allTextContents()
  const openPanel = async (page: Page): Promise<void> => {
    await page.getByRole('button', { name: /^Notifications/ }).click()
    await page.getByRole('dialog').waitFor()
  }
  const shows = (page: Page, ...expected: string[]) =>
    until(
      async () => String(await titles(page)) === String(expected),
      () => `the rows ${expected}`
    )
  const tabs = async (page: Page): Promise<string[]> =>
    (await page.getByRole('tab').allTextContents()).map((text) => text.replace(/\s+/g, ' '))
  const hasTabs = (page: Page, ...expected: string[]) =>
    until(
      async () => String(await tabs(page)) === String(expected),
      () => `the tabs ${expected}`
    )
  const inbox = async (user: string) => (await call(service, 'GET', `/v1/users/${user}/notifications?limit=200`)).body
  const states = async (user: string): Promise<string[]> => (await inbox(user)).items.map(({ state }: { state: string }) => state)
  const mark = (user: string, state: string, ...ids: string[]) =>
    call(service, 'POST', `/v1/users/${user}/notifications/mark`, { ids, state })
  const idsOf = async (user: string): Promise<string[]> => (await inbox(user)).items.map(({ id }: { id: string }) => id)

  /** Opens the panel unless it is open. */
  const openPanelAgain = async (page: Page): Promise<void> => {
    if (await page.getByRole('dialog').isHidden()) await openPanel(page)
  }

  await t.test('tabs have counts of all that they match, and follow what happens; the arrow keys select', async (t) => {
    const notifications = ['sync.a', 'sync.b', 'bill', 'chat'].map((type) => ({ to: 'tabs', type, title: type }))
    await call(service, 'POST', '/v1/notifications/batch', { notifications })
    const [chat = '', bill = ''] = await idsOf('tabs')
    await mark('tabs', 'read', chat)
    await mark('tabs', 'archived', bill)
    const page = await openBell(t, browser, host, service, 'tabs')
    await page.evaluate('bell.tabs = [{ label: "Sync", types: ["sync.*"] }]')
    await page.evaluate('globalThis.told = []; addEventListener("belfry-tab", ({ detail }) => told.push(detail.name + ":" + detail.label))')
    await openPanel(page)
    await hasTabs(page, 'All 3', 'Unread 2', 'Sync 2', 'Archived 1')
    await shows(page, 'chat', 'sync.b', 'sync.a')
    await page.getByRole('tab', { name: 'All 3' }).focus()
    const selected = () => page.getByRole('tab', { selected: true }).textContent()
    await page.keyboard.press('ArrowRight')
    await shows(page, 'sync.b', 'sync.a')
    t.equal(await selected(), 'Unread 2')
    t.equal(await page.getByRole('tabpanel', { name: 'Unread 2' }).count(), 1)
    await page.keyboard.press('End')
    await shows(page, 'bill')
    await page.keyboard.press('ArrowRight')
    t.equal(await focused(page), 'All 3', 'around the end')
    await page.keyboard.press('ArrowLeft')
    t.equal(await focused(page), 'Archived 1')
    await page.keyboard.press('ArrowLeft')
    await shows(page, 'sync.b', 'sync.a')
    await call(service, 'POST', '/v1/notifications', { to: 'tabs', type: 'sync.c', title: 'sync.c' })
    await call(service, 'POST', '/v1/notifications', { to: 'tabs', type: 'chat', title: 'chat 2' })
    await shows(page, 'sync.c', 'sync.b', 'sync.a')
    await hasTabs(page, 'All 5', 'Unread 4', 'Sync 3', 'Archived 1')
    await page.keyboard.press('Home')
    await shows(page, 'chat 2', 'sync.c', 'chat', 'sync.b', 'sync.a')
    t.same(await page.evaluate('told'), ['unread:Unread', 'archived:Archived', 'all:All', 'archived:Archived', ':Sync', 'all:All'])
    await page.getByRole('tab', { name: /Unread/ }).click()
    await rowsOf(page).first().getByRole('link').or(rowsOf(page).first().locator('.main')).first().click()
    await shows(page, 'sync.c', 'sync.b', 'sync.a')
    await hasTabs(page, 'All 5', 'Unread 3', 'Sync 3', 'Archived 1')
    const all = page.getByRole('button', { name: 'Mark all read' })
    await page.getByRole('tab', { name: 'Sync 3' }).click()
    await all.click()
    await hasTabs(page, 'All 5', 'Unread 0', 'Sync 3', 'Archived 1')
    await all.waitFor({ state: 'hidden' })
    await call(service, 'POST', '/v1/notifications', { to: 'tabs', type: 'chat', title: 'chat 3' })
    await hasTabs(page, 'All 6', 'Unread 1', 'Sync 3', 'Archived 1')
    t.equal(await all.isVisible(), false, 'nothing of the types of the tab is unread')
    await page.getByRole('tab', { name: 'Archived 1' }).click()
    t.equal(await all.isVisible(), false)
    await page.getByRole('tab', { name: 'Unread 1' }).click()
    t.equal(await all.isVisible(), true)
    await page.evaluate('bell.tabs = undefined')
    await hasTabs(page, 'All 6', 'Unread 1', 'Archived 1')
  })

  await t.test('the panel that is opened again corrects its counts if the service has removed old notifications', async (t) => {
    const small = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0', LOG_MAX_ENTRIES: '10' })
    const send = async (user: string, count: number): Promise<void> => {
      for (let n = 0; n < count; n++) await publish(small, user, `number ${n}`)
    }
    await send('trimmed', 10)
    const page = await openBell(t, browser, host, small, 'trimmed')
    await openPanel(page)
    await hasTabs(page, 'All 10', 'Unread 10', 'Archived 0')
    await page.keyboard.press('Escape')
    await send('trimmed', 20)
    const { count } = (await call(small, 'GET', '/v1/users/trimmed/notifications?count=true')).body
    t.ok(count < 20)
    const { head } = (await call(small, 'GET', '/v1/users/trimmed/queue')).body
    await untilInPage(page, `bell.client.lastEventId === '${head}'`)
    await openPanel(page)
    await hasTabs(page, `All ${count}`, `Unread ${count}`, 'Archived 0')
    t.equal((await titles(page)).length, count)
  })

  await t.test('the menu of a row by keyboard: read, unread, archive, and back to the inbox', async (t) => {
    await publish(service, 'menu', 'one', 'two')
    const page = await openBell(t, browser, host, service, 'menu')
    await openPanel(page)
    await shows(page, 'two', 'one')
    const opener = page.getByRole('button', { name: 'Options: two' })
    const walk = async (key: string): Promise<string> => {
      await page.keyboard.press(key)
      return focused(page)
    }
    const openMenu = async (): Promise<void> => {
      await opener.focus()
      await page.keyboard.press('Enter')
      await page.getByRole('menu', { name: 'Options: two' }).waitFor()
    }
    await openMenu()
    t.equal(await opener.getAttribute('aria-expanded'), 'true')
    t.equal(await focused(page), 'Mark as read')
    t.equal(await walk('ArrowDown'), 'Archive')
    t.equal(await walk('ArrowDown'), 'Mark as read', 'around the end')
    t.equal(await walk('End'), 'Archive')
    t.equal(await walk('Home'), 'Mark as read')
    t.equal(await walk('Escape'), 'Options: two', 'Escape closes the menu only')
    t.equal(await page.getByRole('menu').count(), 0)
    t.equal(await opener.getAttribute('aria-expanded'), 'false')
    await page.getByRole('dialog').waitFor()
    await openMenu()
    t.equal(await walk('Enter'), 'Options: two')
    await until(async () => (await states('menu'))[0] === 'read', 'read')
    await openMenu()
    t.equal(await focused(page), 'Mark as unread')
    await page.keyboard.press('Enter')
    await until(async () => (await states('menu'))[0] === 'unread', 'unread, and not seen again')
    await openMenu()
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('Enter')
    await shows(page, 'one')
    await until(async () => (await focused(page)) === 'one', 'the focus on the next row')
    await page.getByRole('tab', { name: 'Archived 1' }).click()
    await shows(page, 'two')
    await opener.click()
    t.same(await page.getByRole('menuitem').allTextContents(), ['Move to inbox'])
    await page.mouse.click(450, 690)
    await page.getByRole('menu').waitFor({ state: 'hidden' })
    await openPanelAgain(page)
    await page.getByRole('tab', { name: 'Archived 1' }).click()
    await opener.click()
    await page.getByRole('menuitem', { name: 'Move to inbox' }).click()
    await page.getByText('Nothing archived').waitFor()
    await page.getByRole('tab', { name: 'All 2' }).click()
    await shows(page, 'two', 'one')
  })

  await t.test('a menu whose row or button goes closes, and the focus stays in the panel; it follows a row that is replaced', async (t) => {
    const progress = (title: string) => call(service, 'POST', '/v1/notifications', { to: 'gone', type: 'a', title, collapseKey: 'p' })
    await publish(service, 'gone', 'one', 'two')
    const page = await openBell(t, browser, host, service, 'gone')
    await openPanel(page)
    await shows(page, 'two', 'one')
    await page.getByRole('button', { name: 'Options: two' }).click()
    await mark('gone', 'archived', (await idsOf('gone'))[0] as string)
    await page.getByRole('menu').waitFor({ state: 'hidden' })
    await until(async () => (await focused(page)) === 'one', 'the focus on the next row')
    await mark('gone', 'read', ...(await idsOf('gone')))
    await page.getByRole('button', { name: 'More options' }).click()
    await mark('gone', 'archived', ...(await idsOf('gone')))
    await page.getByRole('menu').waitFor({ state: 'hidden' })
    await until(() => page.evaluate('bell.shadowRoot.activeElement?.id === "panel"'), 'the focus on the panel')

    await progress('10 %')
    await shows(page, '10 %')
    await page.getByRole('button', { name: 'Options: 10 %' }).click()
    await progress('20 %')
    await shows(page, '20 %')
    await page.getByRole('menuitem', { name: 'Archive' }).click()
    await until(async () => (await states('gone'))[0] === 'archived', 'the archive')
  })

  await t.test('other tabs keep the client, and equal ones change nothing', async (t) => {
    await publish(service, 'retabbed', 'one')
    const page = await openBell(t, browser, host, service, 'retabbed')
    await page.evaluate('globalThis.first = bell.client; bell.tabs = [{ label: "A", types: ["a"] }]')
    await openPanel(page)
    await page.getByRole('tab', { name: 'A 1' }).click()
    await page.evaluate('bell.tabs = [{ label: "A", types: ["a"] }]')
    await hasTabs(page, 'All 1', 'Unread 1', 'A 1', 'Archived 0')
    t.equal(await page.getByRole('tab', { selected: true }).textContent(), 'A 1')
    await page.evaluate('bell.tabs = [{ label: "B", types: ["b"] }, { label: "A", types: ["a"] }]')
    await hasTabs(page, 'All 1', 'Unread 1', 'B 0', 'A 1', 'Archived 0')
    t.equal(await page.getByRole('tab', { selected: true }).textContent(), 'All 1')
    t.same(await page.evaluate('[bell.client === first, first.state]'), [true, 'connected'])
  })

  await t.test('"archive all read" archives what is read, and undo brings back exactly that', async (t) => {
    await publish(service, 'all', 'a', 'b', 'c', 'd')
    const [d = '', c = '', b = '', a = ''] = await idsOf('all')
    await mark('all', 'read', b, d)
    await mark('all', 'archived', a)
    const page = await openBell(t, browser, host, service, 'all')
    await openPanel(page)
    await shows(page, 'd', 'c', 'b')
    await page.getByRole('button', { name: 'More options' }).click()
    await page.getByRole('menuitem', { name: 'Archive all read' }).click()
    await shows(page, 'c')
    await page.getByText('2 archived.').waitFor()
    t.equal(await page.getByRole('button', { name: 'More options' }).isVisible(), false, 'nothing is read')
    await hasTabs(page, 'All 1', 'Unread 1', 'Archived 3')
    await page.getByRole('button', { name: 'Undo' }).click()
    await shows(page, 'd', 'c', 'b')
    await until(async () => /^read,(unread|seen),read,archived$/.test(String(await states('all'))), 'the states as they were')
    t.same(await idsOf('all'), [d, c, b, a])
  })

  await t.test('the offer undoes every archiving since it appeared, each to its state; a failed one leaves it', async (t) => {
    await publish(service, 'many', 'a', 'b', 'c', 'd', 'e')
    const [, d = '', c = '', , a = ''] = await idsOf('many')
    await mark('many', 'read', c, a)
    const page = await openBell(t, browser, host, service, 'many')
    await openPanel(page)
    await shows(page, 'e', 'd', 'c', 'b', 'a')
    const archive = (title: string) =>
      page.evaluate(`[...bell.shadowRoot.querySelectorAll('.archive')].find(({ title }) => title === 'Archive: ${title}').click()`)
    for (const title of ['c', 'd', 'b']) await archive(title)
    await page.getByText('3 archived.').waitFor()
    await page.getByRole('button', { name: 'More options' }).click()
    await page.getByRole('menuitem', { name: 'Archive all read' }).click()
    await page.getByText('4 archived.').waitFor()
    await shows(page, 'e')
    await page.evaluate(`{
      const { requestMark } = bell.client
      bell.client.requestMark = (target, state, options) => {
        if (state !== 'archived') return requestMark.call(bell.client, target, state, options)
        bell.client.requestMark = requestMark
        return Promise.reject(new Error('no'))
      }
    }`)
    await archive('e')
    await page.getByText('Could not be archived.', { exact: true }).waitFor()
    await page.getByText('4 archived.').waitFor()
    await page.getByRole('button', { name: 'Undo' }).click()
    await shows(page, 'e', 'd', 'c', 'b', 'a')
    await until(
      async () => /^(unread|seen),(unread|seen),read,(unread|seen),read$/.test(String(await states('many'))),
      'the states as they were'
    )
    await archive('d')
    await page.getByText('Archived.', { exact: true }).waitFor()
    await mark('many', 'unread', d)
    await shows(page, 'e', 'd', 'c', 'b', 'a')
    await page.getByRole('button', { name: 'Undo' }).click()
    await shows(page, 'e', 'd', 'c', 'b', 'a')
  })

  await t.test('the offer of an undo ends after 6 s, but not under the pointer or the focus; Escape does not lose it', async (t) => {
    await publish(service, 'offer', 'one', 'two')
    const page = await browser.newPage({ viewport: { width: 900, height: 700 } })
    t.teardown(() => page.close())
    await page.clock.install()
    await page.goto(`${host.url}/bell.html?${new URLSearchParams({ user: 'offer', service: service.url })}`)
    await untilInPage(page, 'globalThis.bell?.client?.state === "connected"')
    await openPanel(page)
    await shows(page, 'two', 'one')
    const undo = page.getByRole('button', { name: 'Undo' })
    const archive = async (): Promise<void> => {
      await page.getByRole('button', { name: 'Archive: two' }).click()
      await undo.waitFor()
    }
    await archive()
    t.equal(await page.getByRole('status').filter({ hasText: 'Archived.' }).count(), 1, 'a live region says it')
    await page.mouse.move(5, 600)
    await page.clock.runFor(3000)
    await undo.waitFor()
    await undo.hover()
    await page.clock.runFor(20_000)
    await undo.focus()
    await page.mouse.move(5, 600)
    await page.clock.runFor(20_000)
    await undo.waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await openPanel(page)
    await undo.click()
    await shows(page, 'two', 'one')
    await archive()
    await page.mouse.move(5, 600)
    await page.clock.runFor(6100)
    await undo.waitFor({ state: 'hidden' })
  })

  await t.test('a change of the menu that fails is said on its row, which is back', async (t) => {
    await publish(service, 'fails', 'one', 'two')
    let refuse = false
    const page = await openBell(t, browser, host, service, 'fails', {}, 'light', (page) =>
      page.routeWebSocket(/\/v1\/ws/, (socket: WebSocketRoute) => {
        const server = socket.connectToServer()
        socket.onMessage((message) => {
          const { type, ref, state } = JSON.parse(String(message))
          const error = { type: 'error', ref, code: 'BELFRY_ERR_UNAVAILABLE', message: 'no', temporary: true }
          if (type === 'mark' && refuse && state !== 'seen') socket.send(JSON.stringify(error))
          else server.send(message)
        })
      })
    )
    await openPanel(page)
    await shows(page, 'two', 'one')
    await rowsOf(page).first().locator('.main').click()
    await until(async () => (await states('fails'))[0] === 'read', 'read')
    refuse = true
    const choose = async (name: string): Promise<void> => {
      await page.getByRole('button', { name: 'Options: two' }).click()
      await page.getByRole('menuitem', { name }).click()
    }
    await choose('Mark as unread')
    await rowsOf(page).first().getByText('Could not be marked as unread.').waitFor()
    await choose('Archive')
    await rowsOf(page).first().getByText('Could not be archived.').waitFor()
    t.same(await titles(page), ['two', 'one'])
    await page.getByRole('button', { name: 'More options' }).click()
    await page.getByRole('menuitem', { name: 'Archive all read' }).click()
    await page.locator('.action-bar').getByText('Could not be archived.').waitFor()
    refuse = false
    await page.getByRole('button', { name: 'Try again' }).click()
    await shows(page, 'one')
    await mark('fails', 'archived', (await idsOf('fails'))[1] ?? '')
    await page.getByRole('tab', { name: 'Archived 2' }).click()
    await shows(page, 'two', 'one')
    refuse = true
    await choose('Move to inbox')
    await rowsOf(page).first().getByText('Could not be moved to the inbox.').waitFor()
  })

  await t.test('opening marks what is in view as seen, and not as read; the badge counts unread, unseen or nothing', async (t) => {
    await publish(service, 'seen', ...Array.from({ length: 30 }, (_, n) => `number ${n}`))
    const page = await openBell(t, browser, host, service, 'seen')
    const badge = () => page.locator('.badge').textContent()
    await until(async () => (await badge()) === '30', 'the badge')
    await page.evaluate('bell.setAttribute("badge", "unseen")')
    await page.getByRole('button', { name: 'Notifications, 30 new' }).waitFor()
    await openPanel(page)
    await until(async () => Number(await badge()) < 30 && Number(await badge()) > 0, 'some are seen')
    const inView = await measure(
      page,
      `(() => {
      const { top, bottom } = bell.shadowRoot.querySelector('.scroll').getBoundingClientRect()
      const rows = [...bell.shadowRoot.querySelectorAll('.item')].map((row) => row.getBoundingClientRect())
      return rows.filter((row) => row.top >= top && (row.top + row.bottom) / 2 <= bottom).length
    })()`
    )
    await until(
      async () => (await states('seen')).filter((state) => state === 'seen').length === inView,
      () => `${inView} are seen`
    )
    t.equal((await inbox('seen')).unread, 30)
    await until(async () => (await badge()) === String(30 - Number(inView)), 'the badge')
    await page.keyboard.press('End')
    await until(async () => (await states('seen')).filter((state) => state === 'seen').length > Number(inView), 'more are seen')
    await page.evaluate('bell.setAttribute("badge", "none")')
    t.equal(await badge(), '')
    await page.getByRole('button', { name: 'Notifications, 30 unread' }).waitFor()
    await page.getByRole('button', { name: 'Mark all read' }).click()
    await page.evaluate('bell.removeAttribute("badge")')
    await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()
    await until(async () => (await inbox('seen')).unread === 0, 'the service to mark them')
  })
})
