import type { BrowserContext, Page } from 'playwright-core'
import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService, type TestService } from '../helper.ts'
import { argument, type Host, launch, startHost, untilInPage } from './browser.ts'

const TABS = 10
const BURST = 200
const RUNS = argument('runs', 3)
const TAKEOVER_MS = 1000

/** The records of pages/tab.js. */
interface Heard {
  ids: string[]
  leadsAt: number
}

async function open(context: BrowserContext, host: Host, service: TestService, user: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(`${host.url}/tab.html?${new URLSearchParams({ user, service: service.url })}`)
  await untilInPage(page, 'globalThis.tab?.belfry.state === "connected"')
  return page
}

/** A page of the same browser that only records raised toasts. */
async function watch(context: BrowserContext, host: Host): Promise<() => Promise<string[]>> {
  const page = await context.newPage()
  await page.goto(`${host.url}/tab.html?idle=1`)
  await untilInPage(page, 'globalThis.loaded')
  return () => page.evaluate('raised()')
}

/**
 * Ends the tab: closes it, or kills its process, which ends between two events (a tab that ends during an event may or may not have done
 * its last step). Resolves with the time.
 */
async function kill(page: Page, host: Host, crash: boolean): Promise<number> {
  let now = Date.now()
  if (!crash) {
    await page.close()
    return now
  }
  const session = await page.context().newCDPSession(page)
  const held = new Promise<void>((resolve) => {
    host.held = resolve
  })
  const crashed = page.waitForEvent('crash')
  page.evaluate('hold()').catch(() => {})
  await held
  now = Date.now()
  session.send('Page.crash').catch(() => {})
  await crashed
  return now
}

const heardBy = (page: Page): Promise<Heard> => page.evaluate('tab.heard')
const leads = (page: Page): Promise<boolean> => page.evaluate('tab.belfry.leader')

async function publish(service: TestService, user: string, from: number, to: number): Promise<string[]> {
  const notifications = Array.from({ length: to - from }, (_, n) => ({ to: user, type: 'a', title: `number ${from + n}` }))
  const { body } = await call(service, 'POST', '/v1/notifications/batch', { notifications })
  return body.results.map(({ id }: { id: string }) => id)
}

t.setTimeout(60_000 + RUNS * 20_000)

t.test('tabs of one browser', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' })
  const browser = await launch(t)

  await t.test('ten tabs have one connection, also after a reload', async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    const toasts = await watch(context, host)
    const pages: Page[] = []
    for (let n = 0; n < TABS; n++) pages.push(await open(context, host, service, 'alice'))
    const connections = async () => (await call(service, 'GET', '/v1/users/alice/connections')).body.items.length
    t.equal(await connections(), 1)
    t.equal((await Promise.all(pages.map(leads))).filter(Boolean).length, 1)

    const [id] = await publish(service, 'alice', 0, 1)
    for (const page of pages) await untilInPage(page, 'tab.heard.ids.length === 1')
    await until(async () => (await toasts()).length > 0, 'the toast')

    await pages[3]?.reload()
    await untilInPage(pages[3] as Page, 'globalThis.tab?.belfry.state === "connected"')
    const [second] = await publish(service, 'alice', 1, 2)
    for (const page of pages) await untilInPage(page, `tab.heard.ids.includes('${second}')`)
    t.same((await heardBy(pages[3] as Page)).ids, [second], 'a reload resumes after what was shown')
    t.same((await heardBy(pages[0] as Page)).ids, [id, second])
    t.equal(await connections(), 1)
    await until(async () => (await toasts()).length === 2, 'the second toast')
    t.same(await toasts(), [id, second])
  })

  for (const count of [1, 2]) {
    await t.test(`of ${count} the leader reloads while notifications arrive: each is shown once, each toast raised once`, async (t) => {
      const user = `reloader-${count}`
      const context = await browser.newContext()
      t.teardown(() => context.close())
      const toasts = await watch(context, host)
      const pages: Page[] = []
      for (let n = 0; n < count; n++) pages.push(await open(context, host, service, user))
      const ids: string[] = []
      const publishing = (async () => {
        for (let sent = 0; sent < BURST; sent += 5) ids.push(...(await publish(service, user, sent, sent + 5)))
      })()
      const leader = pages[0] as Page
      t.ok(await leads(leader))
      await untilInPage(leader, 'tab.heard.ids.length >= 20')
      await leader.reload()
      await publishing
      await untilInPage(leader, 'globalThis.tab?.belfry.state === "connected"')
      ids.push(...(await publish(service, user, BURST, BURST + 1)))
      for (const page of pages) await untilInPage(page, `globalThis.shown?.().includes('${ids.at(-1)}')`)
      t.same(await pages[count - 1]?.evaluate('shown()'), ids)
      const again = (await leader.evaluate('shown()')) as string[]
      t.same(again, [...new Set(again)], 'notifications that the other tab showed while this one was closed are not shown again either')
      await until(async () => (await toasts()).length > BURST, `${BURST + 1} toasts`)
      t.same((await toasts()).toSorted(), ids.toSorted())
    })
  }

  await t.test(`the leader goes in the middle of a burst of ${BURST}, ${RUNS} times`, async (t) => {
    const takeovers: number[] = []
    let lost = 0
    let doubled = 0
    for (let run = 0; run < RUNS; run++) {
      const user = `runner-${run}`
      const context = await browser.newContext()
      const toasts = await watch(context, host)
      const pages: Page[] = []
      for (let n = 0; n < 4; n++) pages.push(await open(context, host, service, user))

      const ids: string[] = []
      const publishing = (async () => {
        for (let sent = 0; sent < BURST; sent += 5) ids.push(...(await publish(service, user, sent, sent + 5)))
      })()
      const leading = await Promise.all(pages.map(leads))
      const leader = pages[leading.indexOf(true)] as Page
      const rest = pages.filter((page) => page !== leader)
      await untilInPage(leader, 'tab.heard.ids.length >= 50')
      const killedAt = await kill(leader, host, run % 2 === 1)
      await publishing
      for (const page of rest) await untilInPage(page, `new Set(tab.heard.ids).size >= ${BURST}`)
      await until(async () => new Set(await toasts()).size >= BURST, `${BURST} toasts`)

      // Tabs receive and raise rows in order, so the burst has arrived when a later notification has.
      const [after] = (await publish(service, user, BURST, BURST + 1)) as [string]
      ids.push(after)
      for (const page of rest) await untilInPage(page, `tab.heard.ids.includes('${after}')`)
      await until(async () => (await toasts()).includes(after), 'the last toast')

      const heard = await Promise.all(rest.map(heardBy))
      takeovers.push(Math.max(...heard.map(({ leadsAt }) => leadsAt)) - killedAt)
      for (const { ids: shown } of heard) {
        lost += ids.filter((id) => !shown.includes(id)).length
        doubled += shown.length - new Set(shown).size
      }
      const raised = await toasts()
      lost += ids.filter((id) => !raised.includes(id)).length
      doubled += raised.length - new Set(raised).size
      await context.close()
    }
    takeovers.sort((a, b) => a - b)
    const worst = takeovers.at(-1) as number
    t.comment(`takeover: median ${takeovers[RUNS >> 1]} ms, worst ${worst} ms over ${RUNS} runs; lost ${lost}, doubled ${doubled}`)
    t.equal(lost, 0, 'nothing was lost')
    t.equal(doubled, 0, 'nothing was shown or raised twice')
    t.ok(worst < TAKEOVER_MS, `${worst} ms`)
    t.ok((takeovers[0] as number) > 0)
  })
})
