import type { BrowserContext, Page } from 'playwright-core'
import t from 'tap'
import { startReach } from '../fixtures/reach.ts'
import { until } from '../fixtures/wait.ts'
import { violations } from './bell-page.ts'
import { bundleApp, launch, startHost, untilInPage } from './browser.ts'
import { usePushService } from './push-browser.ts'

t.setTimeout(120_000)

t.test('the switch of Web Push', async (t) => {
  const host = await startHost(t)
  const { service, push } = await startReach(t, 'embedded', { CORS_ORIGIN: host.url })
  const browser = await launch(t)

  const contextWith = async (setting: 'granted' | 'denied', prepare?: string): Promise<BrowserContext> => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    // Permissions that are not granted are denied.
    await context.grantPermissions(setting === 'granted' ? ['notifications'] : ['geolocation'], { origin: host.url })
    await usePushService(context, push)
    if (prepare !== undefined) await context.addInitScript(prepare)
    return context
  }
  const openPanel = async (context: BrowserContext, user: string): Promise<Page> => {
    const page = await context.newPage()
    await page.goto(`${host.url}/push-bell.html?${new URLSearchParams({ user, service: service.url })}`)
    await untilInPage(page, 'globalThis.bell?.client?.state === "connected"')
    await page.getByRole('button', { name: 'Notifications' }).click()
    return page
  }
  const checkLook = async (page: Page, what: string): Promise<void> => {
    await untilInPage(page, 'bell.shadowRoot.getAnimations().length === 0')
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      t.same(await violations(page), [], `${what}, ${colorScheme}`)
    }
  }

  await t.test('off and on: it says what it does, and switches by keyboard', async (t) => {
    const context = await contextWith('granted')
    const page = await openPanel(context, 'switch')
    const control = page.getByRole('switch', { name: 'Notifications on this device' })
    await page.getByText('Switch on to get notifications when this page is closed.').waitFor()
    t.equal(await control.getAttribute('aria-checked'), 'false')
    await checkLook(page, 'off')
    await control.focus()
    await page.keyboard.press('Space')
    await page.getByText('You get notifications when this page is closed, too.').waitFor()
    t.equal(await control.getAttribute('aria-checked'), 'true')
    await checkLook(page, 'on')

    await page.reload()
    await page.getByRole('button', { name: 'Notifications' }).click()
    await page.getByText('You get notifications when this page is closed, too.').waitFor()
    await control.click()
    await page.getByText('Switch on to get').waitFor()

    await context.route('**/v1/push/key', (route) =>
      route.fulfill({ status: 500, headers: { 'access-control-allow-origin': '*' }, body: '{}' })
    )
    await control.click()
    await page.getByText('Could not be changed. Try again.').waitFor()
    t.equal(await control.getAttribute('aria-busy'), null)
  })

  await t.test('denied: it says what the user can do', async (t) => {
    const page = await openPanel(await contextWith('denied'), 'denied')
    await page.getByText('Your browser blocks notifications of this site.').waitFor()
    t.equal(await page.getByRole('switch').count(), 0)
    await checkLook(page, 'denied')
  })

  await t.test('unsupported: hidden, except on iOS, where the home screen helps; hidden without a service worker', async (t) => {
    const without = 'delete globalThis.PushManager'
    const page = await openPanel(await contextWith('granted', without), 'unsupported')
    t.equal(await page.evaluate('bell.client.push'), 'unsupported')
    t.equal(await page.locator('.push').isVisible(), false)
    const phone = await openPanel(await contextWith('granted', `${without}; navigator.standalone = false`), 'phone')
    await phone.getByText('Add this app to your home screen').waitFor()
    t.equal(await phone.getByRole('switch').count(), 0)

    const plain = await openPanel(await contextWith('granted'), 'plain')
    await plain.getByRole('switch').waitFor()
    await plain.evaluate('bell.removeAttribute("service-worker")')
    await until(async () => !(await plain.locator('.push').isVisible()), 'no worker, no switch')
  })

  await t.test('usePush renders the state, and switches it', async (t) => {
    host.files.set('/react-push.js', await bundleApp({ entryPoints: ['test/browser/pages/react-push.jsx'] }))
    const page = await (await contextWith('granted')).newPage()
    host.files.set(
      '/react-push.html',
      '<!doctype html><html lang="en"><title>App</title><main id="root"></main><script type="module" src="react-push.js"></script></html>'
    )
    await page.goto(`${host.url}/react-push.html?${new URLSearchParams({ user: 'react', service: service.url })}`)
    await page.getByText('push: off').waitFor()
    await page.getByRole('button', { name: 'Switch' }).click()
    await page.getByText('push: on').waitFor()
    t.not(await page.evaluate('localStorage.getItem("test:subscription")'), null)
    await page.getByRole('button', { name: 'Switch' }).click()
    await page.getByText('push: off').waitFor()
  })
})
