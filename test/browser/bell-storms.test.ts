import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'
import { openBell, violations } from './bell-page.ts'
import { boxes, launch, measure, overflow, startHost } from './browser.ts'

const BATCH = 500

t.setTimeout(120_000)

t.test('the bell under load, and with texts that do not fit', async (t) => {
  const host = await startHost(t)
  const env = { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' }
  const service = await startService(t, env)
  const browser = await launch(t)
  const publish = async (user: string, count: number): Promise<void> => {
    for (let from = 0; from < count; from += BATCH) {
      const notifications = Array.from({ length: Math.min(BATCH, count - from) }, (_, n) => ({
        to: user,
        type: `type${n % 7}.a`,
        title: `number ${from + n}`
      }))
      await call(service, 'POST', '/v1/notifications/batch', { notifications })
    }
  }
  /** Clicks the bell. Returns the time until the frame that shows rows was painted, and until the panel had the focus, milliseconds. */
  const clickToPaint = (page: Page): Promise<number> =>
    page.evaluate(`new Promise((resolve) => {
      const start = performance.now()
      const painted = () => (bell.shadowRoot.querySelector('.item') ? setTimeout(() => resolve(performance.now() - start)) : requestAnimationFrame(painted))
      bell.shadowRoot.querySelector('.bell').click()
      requestAnimationFrame(painted)
    })`)
  const counts = (page: Page) => page.evaluate<number[]>('[bell.unread, bell.unseen]')

  await t.test('1,000 rows: a click paints the first of them', async (t) => {
    await publish('thousand', 1000)
    const page = await openBell(t, browser, host, service, 'thousand')
    await until(async () => (await counts(page))[0] === 1000, 'the count')
    const first = await clickToPaint(page)
    await page.evaluate('bell.close()')
    const again = await clickToPaint(page)
    t.comment(`from the click to the painted rows: ${Math.round(first)} ms, and ${Math.round(again)} ms when opened again`)
    t.ok(await measure(page, 'bell.shadowRoot.querySelectorAll(".item").length <= 100'), 'the others are rendered on demand')
  })

  await t.test('a storm of states and live rows: the rows, the tabs and the counts are those of the service', async (t) => {
    await publish('storm', 300)
    const page = await openBell(t, browser, host, service, 'storm')
    await page.evaluate('bell.open()')
    await page.locator('.item').first().waitFor()
    const inbox = async (query: string) => (await call(service, 'GET', `/v1/users/storm/notifications?limit=200${query}`)).body
    const ids: string[] = (await inbox('')).items.map(({ id }: { id: string }) => id)
    const states = ['read', 'archived', 'seen', 'unread']
    await Promise.all([
      publish('storm', 50),
      ...ids.map((id, n) => call(service, 'POST', '/v1/users/storm/notifications/mark', { ids: [id], state: states[n % 4] }))
    ])
    const { unread, items, count } = await inbox('&state=unread,seen,read&count=true')
    await until(async () => (await counts(page))[0] === unread, 'the count')
    await until(
      async () =>
        String((await page.getByRole('tab').locator('.count').allTextContents()).map((text) => text.trim())) ===
        `${count},${unread},${350 - count}`,
      'the tabs'
    )
    t.same([count, unread], [300, 250])
    await until(
      async () =>
        String(await page.locator('.title').allTextContents()).startsWith(
          String(items.slice(0, 50).map(({ title }: { title: string }) => title))
        ),
      'the rows'
    )
  })

  await t.test('words without an end stay inside, in both directions, wide and narrow, forced colours too', async (t) => {
    const word = 'Donaudampfschifffahrtsgesellschaft'.repeat(6)
    const actions = [
      { action: 'a', title: word.slice(0, 64) },
      { action: 'b', title: word.slice(0, 64) },
      { action: 'c', title: 'No' }
    ]
    for (const user of ['ltr', 'rtl']) {
      await call(service, 'POST', '/v1/notifications', {
        to: user,
        type: word.slice(0, 60),
        title: word.slice(0, 200),
        data: { body: word.repeat(4) },
        actions
      })
      await call(service, 'POST', '/v1/notifications', { to: user, type: 'a', title: 'ا'.repeat(200), data: { body: 'שלום '.repeat(60) } })
      const page = await openBell(t, browser, host, service, user)
      await page.evaluate(`document.documentElement.dir = '${user}'
        bell.tabs = Array.from({ length: 6 }, () => ({ label: '${word.slice(0, 40)}', types: ['a'] })); bell.open()`)
      await until(async () => (await page.locator('.item').count()) === 2, 'the rows')
      for (const [width, forcedColors] of [
        [900, 'none'],
        [320, 'none'],
        [320, 'active']
      ] as const) {
        await page.emulateMedia({ forcedColors })
        await page.setViewportSize({ width, height: 700 })
        const name = `${user}, ${width} px, forced colours ${forcedColors}`
        t.equal(await overflow(page), 0, name)
        const { panel } = await boxes(page, { panel: '.panel' })
        const outside = await measure<string[]>(
          page,
          `[...bell.shadowRoot.querySelectorAll('.item *, .head *')]
            .filter((element) => {
              const { left, right, width } = element.getBoundingClientRect()
              return width > 1 && (left < ${panel.left} || right > ${panel.right})
            }).map(({ className }) => String(className))`
        )
        t.same(outside, [], name)
        t.same(await violations(page), [], name)
      }
    }
  })

  await t.test('two tabs of two users: archive, undo and live rows of one never show in the other', async (t) => {
    const [alice, bob] = [await openBell(t, browser, host, service, 'alice'), await openBell(t, browser, host, service, 'bob')]
    for (const page of [alice, bob]) await page.evaluate('bell.open()')
    const titles = (page: Page) => page.locator('.title').allTextContents()
    for (let n = 0; n < 5; n++) {
      for (const to of ['alice', 'bob']) await call(service, 'POST', '/v1/notifications', { to, type: 'a', title: `${to} ${n}` })
      await until(async () => String(await titles(alice)) === `alice ${n}`, `alice ${n}`)
      await alice
        .locator('.archive')
        .first()
        .evaluate((button) => (button as unknown as { click(): void }).click())
      await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'between' })
      await alice.getByRole('button', { name: 'Undo' }).click()
      await until(async () => String(await titles(alice)) === `between,alice ${n}`, 'undone beside a live row')
      // The page shows the undo before the service has it.
      const items = await until(async () => {
        const { body } = await call(service, 'GET', '/v1/users/alice/notifications?state=unread,seen,read')
        return body.items.length === 2 && body.items
      }, 'the service has both rows in the inbox')
      await call(service, 'POST', '/v1/users/alice/notifications/mark', {
        ids: items.map(({ id }: { id: string }) => id),
        state: 'archived'
      })
      await until(async () => (await titles(alice)).length === 0, 'empty')
    }
    await until(async () => String(await titles(bob)) === 'bob 4,bob 3,bob 2,bob 1,bob 0', 'the rows of bob')
    await until(async () => String(await counts(alice)) === '0,0', 'the counts of alice')
  })
})
