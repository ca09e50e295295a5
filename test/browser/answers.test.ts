import type { WebSocketRoute } from 'playwright-core'
import t from 'tap'
import { WebSocket } from 'ws'
import { Client } from '../../packages/client/src/client.ts'
import { standardPlatform } from '../../packages/client/src/platform.ts'
import type { Answer } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, userToken } from '../helper.ts'
import { focused, openBell, violations } from './bell-page.ts'
import { bundleReactApp, launch, startHost, untilInPage } from './browser.ts'

const actions = [
  { action: 'approve', title: 'Approve' },
  { action: 'reject', title: 'Reject' }
]

t.setTimeout(120_000)

t.test('actions and answers in the bell and the hooks', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' })
  const browser = await launch(t)

  const ask = async (user: string, title: string, given: object = {}): Promise<string> =>
    (await call(service, 'POST', '/v1/notifications', { to: user, type: 'a', title, actions, ...given })).body.id
  /** Answers as another device of the user. */
  const answerElsewhere = async (user: string, id: string, action: string): Promise<Answer> => {
    const phone = new Client(service.url, { getToken: () => userToken(user), deviceId: 'phone', WebSocket }, standardPlatform())
    phone.connect()
    try {
      return await phone.answer(id, action)
    } finally {
      phone.disconnect()
    }
  }

  await t.test('by keyboard: the buttons are disabled until the answer, which takes their place and is announced', async (t) => {
    await ask('keys', 'Deploy?')
    let release = (): void => {}
    const page = await openBell(t, browser, host, service, 'keys', {}, 'light', (page) =>
      page.routeWebSocket(/\/v1\/ws/, (socket: WebSocketRoute) => {
        const server = socket.connectToServer()
        socket.onMessage((message) => {
          if (JSON.parse(String(message)).type === 'answer') release = () => server.send(message)
          else server.send(message)
        })
      })
    )
    await page.getByRole('button', { name: 'Notifications, 1 unread' }).click()
    const row = page.getByRole('dialog').getByRole('listitem').first()
    await row.getByRole('button', { name: 'Approve' }).waitFor()
    await untilInPage(page, 'bell.shadowRoot.getAnimations().length === 0')
    t.same(await violations(page), [], 'with buttons')
    await until(async () => (await focused(page)) === 'Deploy?', 'the focus on the row')
    const walk = async (key: string): Promise<string> => {
      await page.keyboard.press(key)
      return focused(page)
    }
    t.equal(await walk('Tab'), 'Archive: Deploy?')
    t.equal(await walk('Tab'), 'Options: Deploy?')
    t.equal(await walk('Tab'), 'Approve')
    t.equal(await walk('Tab'), 'Reject')
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    await until(async () => (await row.getByRole('button', { name: 'Reject' }).getAttribute('aria-disabled')) === 'true', 'disabled')
    t.equal(await focused(page), 'Approve', 'the focus stays')
    t.same(await violations(page), [], 'under way')
    await row.getByRole('button', { name: 'Reject' }).click({ force: true })
    release()
    await row.getByText('Answered: Approve').waitFor()
    t.equal(await row.getByRole('button', { name: 'Reject' }).count(), 0)
    await until(async () => (await focused(page)) === 'Deploy?', 'the focus on the row')
    await until(async () => (await page.locator('[aria-live]').textContent()) === 'Deploy?: Answered: Approve', 'the announcement')
    await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()
    t.same(await violations(page), [], 'answered')
    const { answer } = (await call(service, 'GET', '/v1/users/keys/notifications')).body.items[0]
    t.equal(answer.action, 'approve')
  })

  await t.test('the answer of a device that was first is shown and announced', async (t) => {
    const id = await ask('late', 'Deploy?')
    const page = await openBell(t, browser, host, service, 'late', {}, 'light', (page) =>
      page.routeWebSocket(/\/v1\/ws/, (socket: WebSocketRoute) => {
        const server = socket.connectToServer()
        socket.onMessage(async (message) => {
          if (JSON.parse(String(message)).type === 'answer') await answerElsewhere('late', id, 'reject')
          server.send(message)
        })
      })
    )
    await page.evaluate('globalThis.failed = 0; addEventListener("belfry-error", () => failed++)')
    await page.getByRole('button', { name: 'Notifications, 1 unread' }).click()
    const row = page.getByRole('dialog').getByRole('listitem').first()
    await row.getByRole('button', { name: 'Approve' }).click()
    await row.getByText('Answered on another device (phone): Reject').waitFor()
    const said = 'Deploy?: Answered on another device (phone): Reject'
    await until(async () => (await page.locator('[aria-live]').textContent()) === said, 'the announcement')
    t.equal(await page.evaluate('failed'), 0)
    t.equal(await row.getByRole('button', { name: 'Reject' }).count(), 0)
  })

  await t.test('an answer that fails is reported on the row, and the buttons are back', async (t) => {
    await ask('refused', 'Deploy?')
    const page = await openBell(t, browser, host, service, 'refused', {}, 'light', (page) =>
      page.routeWebSocket(/\/v1\/ws/, (socket: WebSocketRoute) => {
        const server = socket.connectToServer()
        socket.onMessage((message) => {
          const { type, ref } = JSON.parse(String(message))
          const error = { type: 'error', ref, code: 'BELFRY_ERR_X', message: 'no', temporary: true }
          if (type === 'answer') socket.send(JSON.stringify(error))
          else server.send(message)
        })
      })
    )
    await page.getByRole('button', { name: 'Notifications, 1 unread' }).click()
    const row = page.getByRole('dialog').getByRole('listitem').first()
    await row.getByRole('button', { name: 'Approve' }).click()
    await row.getByText('Could not be answered.').waitFor()
    t.equal(await row.getByRole('button', { name: 'Approve' }).getAttribute('aria-disabled'), null)
    t.same(await violations(page), [])
  })

  await t.test('the url of an action is opened if it is http(s) or a path, and the page can stop that', async (t) => {
    const urls = ['/there', 'https://example.com/x']
    const given = urls.map((url, index) => ({ action: `a${index}`, title: `Open ${index}`, url }))
    const page = await openBell(t, browser, host, service, 'urls')
    await page.evaluate('globalThis.opened = []; globalThis.open = (url) => void opened.push(url)')
    await page.evaluate('globalThis.chosen = []; addEventListener("belfry-action", ({ detail }) => chosen.push(detail.action.action))')
    for (const index of [0, 1]) await ask('urls', `Question ${index}`, { actions: given })
    await page.getByRole('button', { name: 'Notifications, 2 unread' }).click()
    const rows = page.getByRole('dialog').getByRole('listitem')
    await rows.nth(0).getByRole('button', { name: 'Open 0' }).click()
    await rows.nth(1).getByRole('button', { name: 'Open 1' }).click()
    await untilInPage(page, 'opened.length === 2')
    t.same(await page.evaluate('opened'), [`${host.url}/there`, 'https://example.com/x'])
    t.same(await page.evaluate('chosen'), ['a0', 'a1'])
    await page.evaluate('addEventListener("belfry-action", (event) => event.preventDefault())')
    await ask('urls', 'Question 2', { actions: given })
    await rows.nth(0).getByText('Question 2').waitFor()
    await rows.nth(0).getByRole('button', { name: 'Open 0' }).click()
    await rows.nth(0).getByText('Answered: Open 0').waitFor()
    t.equal(await page.evaluate('opened.length'), 2)
  })

  await t.test('toasts of the bell: with the actions, changed in place by a collapse key, and gone with their notification', async (t) => {
    const page = await openBell(t, browser, host, service, 'toasts')
    await page.evaluate('bell.setAttribute("toasts", "")')
    const toasts = page.locator('.toast')
    for (const done of [10, 20, 30]) {
      await ask('toasts', `Export: ${done} %`, { collapseKey: 'export', actions: undefined })
      await toasts.getByText(`Export: ${done} %`).waitFor()
      t.equal(await toasts.count(), 1)
    }
    const id = await ask('toasts', 'Deploy?')
    await toasts.getByRole('button', { name: 'Approve' }).waitFor()
    await untilInPage(page, 'bell.shadowRoot.getAnimations().length === 0')
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      t.same(await violations(page), [], colorScheme)
    }
    await answerElsewhere('toasts', id, 'reject')
    await toasts.getByText('Answered on another device (phone): Reject').waitFor()
    const recalled = await ask('toasts', 'Recalled')
    await toasts.getByText('Recalled', { exact: true }).waitFor()
    await call(service, 'DELETE', `/v1/users/toasts/notifications/${recalled}`)
    await toasts.getByText('Recalled', { exact: true }).waitFor({ state: 'detached' })
    await toasts.getByRole('button', { name: 'Close: Deploy?' }).click()
    await page.evaluate('addEventListener("belfry-toast", (event) => event.preventDefault(), { once: true })')
    await ask('toasts', 'Stopped')
    await untilInPage(page, 'bell.unread === 2')
    t.equal(await toasts.getByText('Stopped').count(), 0)
    await ask('toasts', 'Chosen')
    await toasts.getByRole('button', { name: 'Chosen', exact: true }).click()
    await page.getByRole('dialog').waitFor()
  })

  await t.test('a replacement keeps the row and its focus', async (t) => {
    const page = await openBell(t, browser, host, service, 'replaced')
    const progress = (done: number) => ask('replaced', `Export: ${done} %`, { collapseKey: 'export', actions: undefined })
    await progress(10)
    await ask('replaced', 'Other')
    await page.getByRole('button', { name: 'Notifications, 2 unread' }).click()
    const rows = page.getByRole('dialog').getByRole('listitem')
    await rows.nth(1).waitFor()
    await until(async () => (await focused(page)) === 'Other', 'the focus on Other')
    await page.keyboard.press('ArrowDown')
    t.equal(await focused(page), 'Export: 10 %')
    await page.evaluate('bell.shadowRoot.querySelectorAll(".item")[1].dataset.kept = ""')
    for (const done of [20, 30]) {
      await progress(done)
      await until(async () => (await focused(page)) === `Export: ${done} %`, 'the focus on the row')
      t.equal(await rows.count(), 2)
    }
    t.equal(await rows.nth(0).getAttribute('data-kept'), '', 'the same row, at the place of the new notification')
    t.equal(await page.evaluate('bell.unread'), 2)
  })

  await t.test('a notification expires while the page is offline', async (t) => {
    const page = await openBell(t, browser, host, service, 'offline')
    await page.getByRole('button', { name: 'Notifications', exact: true }).click()
    await ask('offline', 'Code', { ttl: 3 })
    await page.getByRole('dialog').getByRole('listitem').waitFor()
    await page.context().setOffline(true)
    await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()
    await page.getByRole('dialog').getByRole('listitem').waitFor({ state: 'detached' })
    await page.context().setOffline(false)
    await untilInPage(page, 'bell.client.state === "connected" && bell.client.unread === 0')
  })

  await t.test('React: buttons are disabled while an answer is under way, and give way to the first answer', async (t) => {
    host.files.set('/react-app.js', await bundleReactApp())
    const id = await ask('react', 'Deploy?')
    const page = await browser.newPage()
    t.teardown(() => page.close())
    const held: (() => void)[] = []
    await page.routeWebSocket(/\/v1\/ws/, (socket: WebSocketRoute) => {
      const server = socket.connectToServer()
      socket.onMessage((message) => {
        if (JSON.parse(String(message)).type === 'answer') held.push(() => server.send(message))
        else server.send(message)
      })
    })
    await page.goto(`${host.url}/app.html?${new URLSearchParams({ user: 'react', service: service.url })}`)
    await page.getByRole('button', { name: 'Approve' }).click()
    await until(() => held.length === 1, 'the answer')
    for (const name of ['Approve', 'Reject']) t.ok(await page.getByRole('button', { name }).isDisabled(), name)
    held[0]?.()
    await page.getByText('answered: approve').waitFor()
    t.equal(await page.getByRole('button', { name: 'Reject' }).count(), 0)
    await untilInPage(page, 'document.querySelector("#count").textContent === "0"')
    await t.rejects(answerElsewhere('react', id, 'reject'), { code: 'BELFRY_ERR_ALREADY_ANSWERED', answer: { action: 'approve' } })

    const late = await ask('react', 'Release?')
    await page.getByRole('button', { name: 'Approve' }).click()
    await until(() => held.length === 2, 'another answer')
    await answerElsewhere('react', late, 'reject')
    held[1]?.()
    await page.getByText('answered: reject').waitFor()
    t.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0)
  })
})
