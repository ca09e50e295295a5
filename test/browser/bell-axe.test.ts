import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'
import { violations } from './bell-page.ts'
import { launch, startHost, untilInPage } from './browser.ts'

const BODY = 'A long body that says the same again and again, so that it does not fit into three lines. '.repeat(4)

interface Mode {
  name: string
  colorScheme: 'light' | 'dark'
  forcedColors: 'active' | 'none'
  width: number
  dir: 'ltr' | 'rtl'
}

const MODES: Mode[] = [
  { name: 'light', colorScheme: 'light', forcedColors: 'none', width: 1440, dir: 'ltr' },
  { name: 'dark', colorScheme: 'dark', forcedColors: 'none', width: 1440, dir: 'ltr' },
  { name: 'forced colours', colorScheme: 'light', forcedColors: 'active', width: 1440, dir: 'ltr' },
  { name: 'right to left', colorScheme: 'light', forcedColors: 'none', width: 1440, dir: 'rtl' },
  { name: '320 px', colorScheme: 'light', forcedColors: 'none', width: 320, dir: 'ltr' },
  { name: '320 px, dark, right to left', colorScheme: 'dark', forcedColors: 'none', width: 320, dir: 'rtl' }
]

t.setTimeout(240_000)

t.test('axe-core finds nothing wrong with the elements', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' })
  const browser = await launch(t)

  const html = (element: string, user: string, { dir }: Mode) => `<!doctype html><html lang="${dir === 'rtl' ? 'ar' : 'en'}" dir="${dir}">
    <head><title>Page</title><meta name="color-scheme" content="light dark"><style>html { background: Canvas }</style><script type="module">
      import './client/bell.js'
      globalThis.bell = document.querySelector('${element}')
      bell.tabs = [{ label: 'Sync', types: ['sync.*'] }]
      if ('${dir}' === 'rtl') bell.messages = await (await fetch('${service.url}/client/languages/ar.json')).json()
    </script></head><body><main><h1>Page</h1><${element} url="${service.url}" token-url="/token?user=${user}" toasts></${element}></main></body></html>`

  const open = async (mode: Mode, element: string, user: string): Promise<Page> => {
    const { colorScheme, forcedColors, width } = mode
    host.files.set('/axe.html', html(element, user, mode))
    const page = await browser.newPage({ colorScheme, forcedColors, reducedMotion: 'reduce', viewport: { width, height: 800 } })
    await page.goto(`${host.url}/axe.html`)
    await untilInPage(page, 'globalThis.bell?.client?.state === "connected"')
    if (mode.dir === 'rtl') await untilInPage(page, 'bell.messages.title !== "Notifications"')
    return page
  }

  for (const [index, mode] of MODES.entries()) {
    await t.test(mode.name, async (t) => {
      const user = `user-${index}`
      const actions = [{ action: 'yes', title: 'Yes' }]
      const notifications = [
        { type: 'sync.done', title: 'Read', ref: '#there' },
        { type: 'sync.done', title: 'With a long body', data: { body: BODY, icon: '/missing.png' } },
        { type: 'ask', title: 'Question', actions },
        { type: 'chat', title: 'Last', ref: '#there' }
      ].map((one) => ({ to: user, ...one }))
      await call(service, 'POST', '/v1/notifications/batch', { notifications })
      const { items } = (await call(service, 'GET', `/v1/users/${user}/notifications`)).body
      await call(service, 'POST', `/v1/users/${user}/notifications/mark`, { ids: [items[3].id], state: 'read' })

      const page = await open(mode, 'belfry-bell', user)
      const rows = page.locator('.item')
      await page.locator('.bell').click()
      await until(async () => (await rows.count()) === 4, 'the rows')
      await page.locator('.more:not([hidden])').waitFor()
      t.same(await violations(page), [], 'all')
      await page.locator('.more:not([hidden])').click()
      await rows.nth(0).getByRole('button').nth(1).click()
      await page.getByRole('menu').waitFor()
      t.same(await violations(page), [], 'menu of a row, and an open body')
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('Enter')
      await page.locator('.action-bar').waitFor()
      t.same(await violations(page), [], 'undo')
      await page.locator('[part=options]').click()
      t.same(await violations(page), [], 'menu of the panel')
      await page.keyboard.press('Escape')
      for (const [tab, count] of [1, 2, 3].entries()) {
        await page.getByRole('tab').nth(count).click()
        await until(async () => (await rows.count()) > 0, 'rows')
        t.same(await violations(page), [], `tab ${tab + 1}`)
      }
      await page.keyboard.press('Escape')
      await call(service, 'POST', '/v1/notifications', { to: user, type: 'ask', title: 'Toast', actions })
      await page.locator('.toast').last().waitFor()
      t.same(await violations(page), [], 'closed, with toasts')
      await page.close()

      const inline = await open(mode, 'belfry-inbox', user)
      await until(async () => (await inline.locator('.item').count()) === 4, 'the rows')
      t.same(await violations(inline), [], 'inbox')
      await inline.close()

      const many = Array.from({ length: 120 }, (_, n) => ({ to: user, type: 'chat', title: `number ${n}` }))
      await call(service, 'POST', '/v1/notifications/batch', { notifications: many })
      const full = await open(mode, 'belfry-bell', user)
      await until(async () => (await full.locator('.badge').textContent()) === '99+', 'the largest badge')
      t.same(await violations(full), [], 'a badge that is not exact')
      await full.close()

      const empty = await open(mode, 'belfry-bell', `nobody-${index}`)
      await empty.locator('.bell').click()
      await empty.locator('.state strong').waitFor()
      t.same(await violations(empty), [], 'empty')
      await empty.route(/\/v1\/me\/notifications/, (route) => route.abort())
      await empty.evaluate('bell.close(); bell.user = "again"')
      await untilInPage(empty, 'bell.client?.state === "connected"')
      await empty.locator('.bell').click()
      await empty.locator('.state .text-button').waitFor()
      t.same(await violations(empty), [], 'failed')
      await empty.close()
    })
  }
})
