import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService, userToken } from '../helper.ts'
import { publish, violations } from './bell-page.ts'
import { launch, measure, overflow, untilInPage } from './browser.ts'
import { number, openDemo, screenOf, startCluster, startProcess } from './demo-page.ts'

const isInView = (page: Page, selector: string): Promise<boolean> =>
  measure(page, `(({ top, bottom }) => top >= 0 && bottom <= innerHeight)(document.querySelector('${selector}').getBoundingClientRect())`)

/** Waits until a row of the log has such words. Rows that are folded do not count. */
const hasInLog = (page: Page, pattern: RegExp): Promise<boolean> =>
  until(
    async () => (await page.locator('#frames summary').allTextContents()).some((row) => pattern.test(row)),
    () => `${pattern} in the log`
  )

t.setTimeout(300_000)

t.test('the demo proves each claim by a number', async (t) => {
  const browser = await launch(t)
  const url = await startProcess(t)
  const { page, failures } = await openDemo(t, browser, url)
  const laptop = screenOf(page, 'Laptop')
  const phone = screenOf(page, 'Phone')
  const screens = ['Second tab', 'Office PC', 'Phone'].map((name) => screenOf(page, name))

  await t.test('the first screen says what Belfry is, shows the bell, and has every claim', async (t) => {
    t.match(
      await page.getByRole('heading', { level: 1 }).textContent(),
      /^Self-hosted .* every screen of a user: nothing lost, nothing twice\.$/
    )
    for (const name of ['Guide', 'Code', 'API', 'SDK', 'Socket']) {
      t.equal(await page.getByRole('navigation').getByRole('link', { name, exact: true }).count(), 1, name)
    }
    await laptop.getByRole('button', { name: /^Notifications, 3 unread/ }).waitFor()
    await laptop.getByRole('dialog').getByText('Order 2041 is delayed').waitFor()
    await laptop.getByRole('tab', { name: /^Orders/ }).waitFor()
    await laptop.getByText('Can we swap the pallet before noon?').waitFor()
    for (const screen of screens) await screen.getByRole('button', { name: /^Bob mentioned you/ }).waitFor()
    t.equal(await page.evaluate('document.activeElement === document.body'), true, 'the open panel did not take the focus')
    for (const claim of ['send', 'plug', 'burst', 'kill']) t.equal(await isInView(page, `#${claim}-number`), true, claim)
    await page.reload()
    await number(page, 'send', /^4 screens/)
    await phone.locator('li').nth(2).waitFor()
    t.equal(await phone.locator('li').count(), 3, 'the first notifications are sent once')
  })

  await t.test('one call reaches four screens', async (t) => {
    await page.getByLabel('Title').fill('A parcel for you')
    await page.getByRole('button', { name: 'Send', exact: true }).click()
    const [, ms] = await number(page, 'send', /^4 of 4 screens in (\d+) ms$/)
    t.ok(Number(ms) > 0)
    for (const screen of screens) await screen.getByRole('button', { name: 'A parcel for you unread: mark read' }).waitFor()
    await phone.getByRole('button', { name: /^A parcel for you/ }).click()
    for (const screen of screens) await screen.getByRole('button', { name: 'A parcel for you read: mark unread' }).waitFor()
  })

  await t.test('a pulled plug is no close: the service sends into the dead connection, and the phone catches up 12, 0 twice', async (t) => {
    const connections = async (): Promise<number> => {
      const { connections } = (await (await fetch(`${url}/users/alice`)).json()) as { connections: number }
      return connections
    }
    t.equal(await connections(), 3, 'two tabs share one')
    await page.getByRole('button', { name: 'Pull the phone’s plug' }).click()
    await page.getByRole('button', { name: 'Plug it in' }).waitFor()
    t.match(await number(page, 'plug', /^12 sent, (\d+) on the phone$/), { 1: '0' })
    await page.locator('.phone .status', { hasText: 'no network' }).waitFor()
    await page.locator('.phone .proof', { hasText: /^1[2-9] frames lost$/ }).waitFor()
    t.equal(await connections(), 3, 'the service does not know')
    await screenOf(page, 'Office PC')
      .getByRole('button', { name: /^While the phone was out: 12/ })
      .waitFor()
    t.equal(await phone.getByRole('button', { name: /^While the phone was out/ }).count(), 0)

    await page.getByRole('button', { name: 'Plug it in' }).click()
    await number(page, 'plug', /^caught up 12, 0 twice$/)
    await page.locator('.phone .proof', { hasText: /^caught up 12, 0 twice$/ }).waitFor()
    await phone.getByRole('button', { name: /^While the phone was out: 12/ }).waitFor()
    t.equal(await phone.getByRole('button', { name: /^While the phone was out/ }).count(), 12)
    await until(async () => (await connections()) === 3, 'the old connection to be reset')
    await hasInLog(page, /^↓ Phone\s*hello.*goes on where it stopped: 1[2-9] rows/)
  })

  await t.test('each screen has a plug of its own; both tabs of the laptop are on one', async () => {
    await page.getByRole('button', { name: 'Laptop: pull the plug' }).click()
    await page.locator('.tab .status', { hasText: 'no network' }).waitFor()
    await page.getByRole('button', { name: 'Send', exact: true }).click()
    await number(page, 'send', /^2 of 2 screens/)
    await page.getByRole('button', { name: 'Laptop: plug in' }).click()
    for (const name of ['laptop', 'tab']) await page.locator(`.${name} .proof`, { hasText: 'caught up 1, 0 twice' }).waitFor()
  })

  await t.test('a burst waits its turn, with its chart in view', async (t) => {
    await page.evaluate('scrollTo(0, 0)')
    await page.getByRole('button', { name: 'Send 50 at once' }).click()
    const [, waiting] = await number(page, 'burst', /^(\d+) waiting: over 10 a second$/)
    t.ok(Number(waiting) > 0)
    t.equal(await isInView(page, '#burst'), true)
    t.equal(await isInView(page, '#chart'), true)
    await page.getByRole('button', { name: 'Send', exact: true }).click()
    await number(page, 'send', /^waiting: over 10 a second$/)
    await number(page, 'burst', /^50 of 50, in order, 0 twice$/)
    await number(page, 'send', /^4 of 4 screens in \d+ ms$/)
    t.match(await page.locator('#send-note').textContent(), /^It waited its turn: over 10 a second\./)
    t.ok((await page.locator('#frames li').count()) < 60, 'the log folds')
    // Equal frames are one row. Frames that keep a connection going are folded.
    await hasInLog(page, /notification× \d\d/)
    await hasInLog(page, /^\d+ routine: .*ack/)
    t.notMatch(await page.locator('#frames').textContent(), /eyJ/, 'without tokens')
  })

  await t.test('progress, expiry, schedule and an answer', async (t) => {
    const before = await phone.locator('li').count()
    await page.getByRole('button', { name: 'Progress' }).click()
    for (const screen of screens) await screen.getByRole('button', { name: /^Export: / }).waitFor()
    for (const screen of screens) await screen.getByRole('button', { name: /^Export finished/ }).waitFor()
    t.equal(await phone.locator('li').count(), Math.min(60, before + 1), 'one row')

    await page.getByRole('button', { name: 'Expiry' }).click()
    await phone.getByRole('button', { name: /^Your code is 4711/ }).waitFor()
    await page.getByRole('button', { name: 'Phone: pull the plug' }).click()
    await number(page, 'send', /^gone from 4 of 4 screens$/)
    await phone.getByRole('button', { name: /^Your code is 4711/ }).waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Phone: plug in' }).click()
    await page.locator('.phone .status', { hasText: 'live' }).waitFor()
    await page.getByRole('button', { name: 'Recall' }).click()
    await phone.getByRole('button', { name: /^Sent to the wrong person/ }).waitFor()
    await number(page, 'send', /^gone from 4 of 4 screens$/)
    for (const screen of screens) t.equal(await screen.getByRole('button', { name: /^Sent to the wrong person/ }).count(), 0)
    await page.getByRole('button', { name: 'Ask' }).click()
    await phone.getByRole('button', { name: 'Approve', exact: true }).click()
    await phone.getByText('Approve, answered here').waitFor()
    await screenOf(page, 'Office PC').getByText('Approve, answered on the phone').waitFor()
    await laptop
      .getByText(/^Answered on another device/)
      .first()
      .waitFor()
    await page.getByRole('button', { name: 'Progress' }).click()
    await page.getByRole('button', { name: 'In 10 s' }).click()
    await number(page, 'send', /^accepted: due in 10 s$/)
    await phone
      .getByRole('button', { name: /^Export finished/ })
      .nth(1)
      .waitFor()
    t.match(await page.locator('#send-number').textContent(), /^(accepted: due|on time)/, 'the last button has the line')
    t.match(await page.locator('#snippet').textContent(), /"deliverAt"/, 'and the code')
    await number(page, 'send', /^on time: \d+ ms after it was due$/)
  })

  await t.test('the code of an action is one click away, in three tabs', async (t) => {
    const code = () => page.locator('#snippet').textContent()
    await page.getByRole('link', { name: 'Code that sends', exact: true }).click()
    t.match(await code(), /^curl -X POST http:\/\/localhost:\d+\/v1\/notifications[\s\S]*"to":"alice"/)
    await page.getByRole('tab', { name: 'curl' }).focus()
    await page.keyboard.press('ArrowRight')
    t.equal(await page.getByRole('tab', { name: 'Node SDK' }).getAttribute('aria-selected'), 'true')
    t.match(await code(), /^import { Belfry } from '@belfry\/server'[\s\S]*await belfry\.notify\('alice', {\n {2}type: '/)
    await page.keyboard.press('ArrowRight')
    t.match(await code(), /<belfry-bell url="http/)
    await page.keyboard.press('ArrowRight')
    await page.getByRole('button', { name: 'Ask' }).click()
    await until(async () => /"actions":\[\{"action":"approve"/.test((await code()) ?? ''), 'the code of the last action')
  })

  await t.test('one click reaches a whole team', async (t) => {
    await page.getByRole('button', { name: 'Send to the team' }).click()
    await number(page, 'team', /^7 of 7 screens, 4 users, \d+ ms$/)
    for (const name of ['Bob', 'Carol', 'Dan']) {
      t.equal(
        await screenOf(page, name)
          .getByRole('button', { name: /^Lunch is at noon/ })
          .count(),
        1,
        name
      )
    }
    await phone.getByRole('button', { name: /^Lunch is at noon/ }).waitFor()
    await page.getByRole('link', { name: 'Code that sends to a topic' }).click()
    t.match(await page.locator('#panel').textContent(), /topic/)
  })

  await t.test('axe-core finds nothing in light, dark and forced colours; no width scrolls sideways', async (t) => {
    for (const [colorScheme, forcedColors] of [
      ['light', 'none'],
      ['dark', 'none'],
      ['light', 'active']
    ] as const) {
      await page.emulateMedia({ colorScheme, forcedColors, reducedMotion: 'reduce' })
      t.same(await violations(page), [], `${colorScheme}, forced colours ${forcedColors}`)
    }
    t.ok(page.frames().length >= 5, 'the screens were among it')
    await page.emulateMedia({ forcedColors: 'none' })
    for (const width of [320, 390, 768, 1440, 2560]) {
      await page.setViewportSize({ width, height: 900 })
      t.equal(await overflow(page), 0, `${width} px`)
    }
  })
  t.same(failures, [], 'no error in the page, the cuts included')
})

t.test('without a limit the demo claims none', async (t) => {
  const browser = await launch(t)
  const { page } = await openDemo(t, browser, await startProcess(t, { RATE_LIMIT_MAX: '0' }))
  await number(page, 'burst', /^No limit: RATE_LIMIT_MAX is 0$/)
  await page.getByRole('button', { name: 'Send 50 at once' }).click()
  await number(page, 'burst', /^50 of 50, in order, 0 twice$/)
  await page.getByRole('tab', { name: 'Bell' }).click()
  t.notMatch(await page.locator('body').innerText(), /\d a second/)
})

t.test('npm run demo:cluster: a node that is killed loses nothing and doubles nothing, and comes back', async (t) => {
  const browser = await launch(t)
  const url = await startCluster(t)
  const { page } = await openDemo(t, browser, url)
  const named = page.locator('.status', { hasText: /node [AB]|shares/ })
  // The two nodes of the demo have just started.
  await until(async () => (await named.count()) === 4, 'each screen to say its node', 40_000)
  for (const name of ['A', 'B']) {
    await page.getByRole('button', { name: `Kill node ${name}` }).click()
    await page.getByRole('button', { name: `Node ${name} is dead` }).waitFor()
    await number(page, 'kill', /^20 of 20 on 4 screens, 0 twice$/)
    await page.getByRole('button', { name: `Kill node ${name}` }).waitFor()
    await untilInPage(page, `document.querySelector('#kill-${name}').disabled === false`)
    await page.locator('#kill-number').evaluate("element => (element.textContent = '')")
  }
  await page.getByRole('button', { name: 'Pull the phone’s plug' }).click()
  await page.getByRole('button', { name: 'Plug it in' }).click()
  await number(page, 'plug', /^caught up 12, 0 twice$/)

  // The receiver of the webhooks of both nodes outlives them, and both have the same keys of Web Push.
  await page.getByRole('button', { name: 'Let one expire' }).click()
  await number(page, 'hook', /^expired after \d+\.\d s, received by no device$/)
  await number(page, 'push', /^(?!.*not configured)/)

  const kill = (headers: Record<string, string>): Promise<number> =>
    fetch(`${url}/cluster/kill`, { method: 'POST', headers, body: '{"node":"A"}' }).then(({ status }) => status)
  t.equal(await kill({ origin: 'https://app.example' }), 404, 'not for a page of another origin')
  t.equal(await kill({ 'x-forwarded-for': '127.0.0.1' }), 404, 'not through a proxy')
  const webhooks = await fetch(`${url}/webhooks?after=0`, { headers: { 'x-forwarded-for': '127.0.0.1' } })
  t.equal(webhooks.status, 404, 'nor are the webhooks')
})

t.test('with a configured secret the demo signs nothing, publishes nothing, and asks for a token', async (t) => {
  const real = await startService(t, { DEMO: 'true' })
  for (const path of ['session', 'publish', 'team', 'recall', 'cut', 'webhooks/fail', 'webhooks/forge']) {
    t.match(await call(real, 'POST', `/demo/${path}`, { user: 'alice', type: 'a', title: 'x' }, { token: '' }), { status: 404 }, path)
  }
  t.match(await call(real, 'GET', '/demo/webhooks', undefined, { token: '' }), { status: 404 })
  const { headers } = await call(real, 'GET', '/demo')
  t.match(headers.get('content-security-policy'), /default-src 'self'/)
  t.equal(headers.get('cache-control'), 'no-cache')
  // Browsers revalidate so. Without it fetch adds `cache-control: no-cache` to a conditional request, which requests the whole answer.
  const revalidation = { 'if-none-match': headers.get('etag') ?? '', 'cache-control': 'max-age=0' }
  t.equal((await call(real, 'GET', '/demo', undefined, { headers: revalidation })).status, 304)
  t.match(await call(real, 'GET', '/demo/..%2fpackage.json'), { status: 404 })

  const browser = await launch(t)
  const page = await browser.newPage()
  const refused: string[] = []
  page.on('console', (message) => /Content Security Policy/.test(message.text()) && refused.push(message.text()))
  await page.goto(`${real.url}/demo/`)
  t.equal(page.url(), `${real.url}/demo`, 'the address with a slash leads to the page')
  for (const claim of ['push', 'hook']) await number(page, claim, /^Not from this page$/)
  await page.getByLabel('Token of a user').fill('not a token')
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByText('This is not a token of a user.').waitFor()
  await page.getByLabel('Token of a user').fill(userToken('zoe'))
  await page.getByRole('button', { name: 'Connect' }).click()
  await number(page, 'send', /^4 screens are listening$/)
  await publish(real, 'zoe', 'pasted')
  await screenOf(page, 'Phone')
    .getByRole('button', { name: /^pasted/ })
    .waitFor()
  t.equal(await page.getByRole('button', { name: 'Send', exact: true }).isDisabled(), true)
  await page.getByRole('button', { name: 'Phone: pull the plug' }).click()
  await page.locator('.phone .status', { hasText: 'no network' }).waitFor()
  await publish(real, 'zoe', 'missed')
  await page.getByRole('button', { name: 'Phone: plug in' }).click()
  await page.locator('.phone .proof', { hasText: 'caught up 1, 0 twice' }).waitFor()
  t.same(refused, [], 'the page keeps to its policy')
})
