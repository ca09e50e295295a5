import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { call, type TestService } from '../helper.ts'
import { type Host, IS_STILL, untilInPage } from './browser.ts'

const require = createRequire(import.meta.url)

interface Violation {
  id: string
  nodes: { html: string; any: { message: string }[] }[]
}

/** Returns the faults that axe-core finds in the page and its frames, in words. Waits for the end of animations: a text that fades in has no contrast. */
export async function violations(page: Page): Promise<string[]> {
  await untilInPage(page, IS_STILL)
  const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8')
  for (const frame of page.frames()) await frame.evaluate(axe)
  const found = (await page.evaluate('axe.run().then(({ violations }) => violations)')) as Violation[]
  return found.flatMap(({ id, nodes }) => nodes.map(({ html, any }) => `${id}: ${html.slice(0, 200)} ${any[0]?.message ?? ''}`))
}

/** Publishes the titles in one batch; all rows refer to `#there`. */
export async function publish(service: TestService, user: string, ...titles: string[]): Promise<void> {
  const notifications = titles.map((title) => ({ to: user, type: 'a', title, ref: '#there' }))
  await call(service, 'POST', '/v1/notifications/batch', { notifications })
}

/** Opens pages/bell.html in a new page and waits until its bell is connected. */
export async function openBell(
  t: Test,
  browser: Browser,
  host: Host,
  service: TestService,
  user: string,
  query: Record<string, string> = {},
  colorScheme: 'light' | 'dark' = 'light',
  prepare: (page: Page) => Promise<unknown> = async () => {}
): Promise<Page> {
  const page = await browser.newPage({ colorScheme, viewport: { width: 900, height: 700 } })
  t.teardown(() => page.close())
  await prepare(page)
  await page.goto(`${host.url}/bell.html?${new URLSearchParams({ user, service: service.url, ...query })}`)
  await untilInPage(page, 'globalThis.bell?.client?.state === "connected"')
  return page
}

/** Returns the name of the element that has the focus, in shadow trees too. */
export const focused = (page: Page): Promise<string> =>
  page.evaluate(`(() => {
    let element = document.activeElement
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement
    const row = element.matches('.main') ? element.closest('.item') : undefined
    return row?.querySelector('.title').textContent ?? element.getAttribute('aria-label') ?? element.textContent
  })()`)
