import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { PushService } from '../fixtures/push-service.ts'
import { until } from '../fixtures/wait.ts'
import { call } from '../helper.ts'
import { violations } from './bell-page.ts'
import { launch, overflow } from './browser.ts'
import { CONTEXT, number, openDemo, screenOf, startProcess } from './demo-page.ts'
import { click, PushDelivery, shownBy, usePushService, workerOf } from './push-browser.ts'

t.setTimeout(300_000)

/** Returns the rows of the webhooks, in the order of their arrival. */
const rows = (page: Page): Promise<string[]> => page.locator('#hooks summary').allInnerTexts()

/** Waits until some rows of the webhooks match, and returns these. */
async function arrived(page: Page, pattern: RegExp, count = 1): Promise<string[]> {
  const matching = async (): Promise<string[]> =>
    (await rows(page)).map((row) => row.replace(/\s+/g, ' ')).filter((row) => pattern.test(row))
  let last: string[] = []
  await until(
    async () => {
      last = await matching()
      return last.length >= count
    },
    () => `${count} webhooks like ${pattern}`,
    20_000
  )
  return last
}

/** Expects no fault of axe in light and dark, and no width that scrolls sideways. */
async function isAccessible(t: Test, page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    t.same(await violations(page), [], colorScheme)
  }
  for (const width of [320, 390, 1440]) {
    await page.setViewportSize({ width, height: 900 })
    t.equal(await overflow(page), 0, `${width} px`)
  }
}

t.test('the demo pushes with every screen closed, and shows the webhooks of users who do not look', async (t) => {
  const browser = await launch(t)
  const push = await PushService.start(t)
  const url = await startProcess(t, { PUSH_ENDPOINTS: push.origin, PRESENCE_GRACE_SECONDS: '1' })
  const { origin } = new URL(url)

  const open = async (prepare: (context: BrowserContext) => Promise<unknown>) => {
    const context = await browser.newContext(CONTEXT)
    t.teardown(() => context.close())
    await prepare(context)
    return { context, ...(await openDemo(t, context, url)) }
  }

  await t.test('the claim about push says what its state means', async (t) => {
    // Screens would only take time here.
    const openAlone = async (prepare: (context: BrowserContext) => Promise<unknown>): Promise<Page> => {
      const context = await browser.newContext(CONTEXT)
      t.teardown(() => context.close())
      await context.route(/demo\/(app|screen)\.html/, (route) => route.fulfill({ contentType: 'text/html', body: '<title>none</title>' }))
      await prepare(context)
      const page = await context.newPage()
      await page.goto(url)
      return page
    }
    const states: [string, RegExp, (context: BrowserContext) => Promise<unknown>][] = [
      ['No Web Push here', /Firefox/, (context) => context.addInitScript('delete globalThis.PushManager')],
      [
        'Push is not configured',
        /belfry vapid/,
        (context) => context.route('**/v1/push/key', (route) => route.fulfill({ status: 404, body: '{}' }))
      ],
      [
        'Notifications are blocked',
        /Allow them/,
        (context) => context.addInitScript(`Object.defineProperty(Notification, 'permission', { value: 'denied' })`)
      ]
    ]
    for (const [title, note, prepare] of states) {
      const page = await openAlone(prepare)
      await page.getByText(title, { exact: true }).waitFor()
      t.match(await page.locator('#push-note').textContent(), note, title)
      t.equal(await page.getByRole('button', { name: 'Switch push on' }).isVisible(), false, title)
    }
    const page = await openAlone((context) => context.grantPermissions(['notifications'], { origin }))
    await page.getByRole('button', { name: 'Switch push on' }).click()
    await page.getByText('The browser did not subscribe').waitFor()
    t.match(await page.locator('#push-note').textContent(), /push service of its vendor/, 'its own push service is not in reach')
  })

  await t.test('push is switched on, every screen is closed, and the notification is on the desktop', async (t) => {
    let subscriptions: Awaited<ReturnType<typeof usePushService>> | undefined
    const { context, page, failures } = await open(async (context) => {
      await context.grantPermissions(['notifications'], { origin })
      subscriptions = await usePushService(context, push)
    })
    const delivery = await PushDelivery.start(t, page)
    await page.getByRole('button', { name: 'Switch push on' }).click()
    await number(page, 'push', /^Push is on$/)
    const [subscribed] = [...(subscriptions?.values() ?? [])]
    if (subscribed === undefined) throw new Error('the browser has not subscribed')
    // Screens of other users, who stand for other browsers, do not end the subscription of this one.
    await page.getByRole('button', { name: 'Send to the team' }).click()
    await number(page, 'team', /^7 of 7 screens/)
    await number(page, 'push', /^Push is on$/)

    const connections = async (): Promise<number> =>
      ((await (await fetch(`${url}/users/alice`)).json()) as { connections: number }).connections
    t.equal(await connections(), 3)
    await page.getByRole('button', { name: 'Close every screen, then send' }).click()
    await number(page, 'push', /^0 connections, sent in [1-5] s$/)
    t.equal(await connections(), 0)
    t.equal(await page.locator('iframe').count(), 0)
    t.equal(await page.getByRole('button', { name: 'Send', exact: true }).isDisabled(), true, 'the claims about screens wait')
    await isAccessible(t, page)
    await arrived(page, /user\.offline alice no screen is left .*attempt 1 verified, answered 204/)

    await until(() => push.requests(subscribed).length === 1, 'the push', 20_000)
    const key = (await call({ url: origin }, 'GET', '/v1/push/key', undefined, { token: '' })).body.publicKey
    await number(page, 'push', /^0 connections, pushed in \d+ ms$/)
    await delivery.forward(push, subscribed, 0, key)
    await number(page, 'push', /^0 connections, shown in \d+ ms$/)
    const worker = workerOf(context)
    const [shown] = await shownBy(worker)
    t.match(shown, { title: 'Order 2045 is paid', body: 'Every screen was closed, and it reached you.' })
    await click(worker, shown?.tag ?? '')
    await number(page, 'push', /^3 of 3 devices have it, 0 twice$/)
    t.equal(await page.evaluate('location.href'), url, 'the tab was there, so it stays')
    await screenOf(page, 'Phone')
      .getByRole('button', { name: /^Order 2045 is paid/ })
      .waitFor()
    await arrived(page, /user\.online alice/, 2)
    t.equal(push.requests(subscribed).length, 1)

    await page.getByRole('button', { name: 'Switch push off' }).click()
    await number(page, 'push', /^Push is off$/)
    t.same(failures, [])
  })

  await t.test('a webhook comes for what nobody read, and none for what was read in time', async (t) => {
    const { page, failures } = await open(async () => {})
    for (const name of ['Forge one', 'Let one expire', 'Fail once', 'Send, read nothing', 'Send and read it']) {
      await page.getByRole('button', { name, exact: true }).click()
    }
    t.match((await arrived(page, /says so itself/))[0], /user\.online alice .* not verified: the signature is not of this secret/)
    await page.getByRole('button', { name: 'Ask', exact: true }).click()
    await screenOf(page, 'Phone').getByRole('button', { name: 'Approve', exact: true }).click()
    t.match((await arrived(page, /notification\.answered/))[0], /alice approve, by phone msg_\S+ attempt 1 verified, answered 204/)
    t.match((await arrived(page, /notification\.expired/))[0], /frank account\.code, received by no device .*verified/)
    const [first = '', second = ''] = await arrived(page, /Invoice 79/, 2)
    t.match(first, /notification\.fallback alice “Invoice 79 is due” is unread msg_\S+ attempt 1 verified, answered 500/)
    t.match(second, /attempt 2 verified, answered 204/)
    t.equal(/msg_\S+/.exec(second)?.[0], /msg_\S+/.exec(first)?.[0])
    await number(page, 'hook', /^read after \d+\.\d s: 0 webhooks$/)
    t.equal((await arrived(page, /Invoice 77/)).length, 1)
    t.same(
      (await rows(page)).filter((row) => row.includes('Invoice 78')),
      []
    )
    await page.locator('#hooks summary').last().click()
    t.match(await page.locator('#hooks pre').last().textContent(), /^webhook-id: msg_\S+\n\{\n {2}"type": "/)

    await isAccessible(t, page)
    t.same(failures, [])
  })
})
