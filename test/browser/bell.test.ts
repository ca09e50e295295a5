import { readFile } from 'node:fs/promises'
import type { Browser, Page, WebSocketRoute } from 'playwright-core'
import t, { type Test } from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'
import { focused, openBell, publish, violations } from './bell-page.ts'
import { boxes, launch, startHost, untilInPage } from './browser.ts'

const HOUR_MS = 3_600_000

/** Answers the marks of the page with an error while `refuse` is true. */
async function refuseMarks(page: Page): Promise<{ refuse: boolean }> {
  const control = { refuse: false }
  await page.routeWebSocket(/\/v1\/ws/, (socket: WebSocketRoute) => {
    const server = socket.connectToServer()
    socket.onMessage((message) => {
      const { type, ref } = JSON.parse(String(message))
      if (type !== 'mark' || !control.refuse) return server.send(message)
      const error = { type: 'error', ref, code: 'BELFRY_ERR_UNAVAILABLE', message: 'the store does not answer', temporary: true }
      socket.send(JSON.stringify(error))
    })
  })
  return control
}

/** Opens a page of the app with a bell in it. */
async function openPage(t: Test, browser: Browser, url: string, options: { colorScheme?: 'light' | 'dark' } = {}): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 900, height: 700 }, ...options })
  t.teardown(() => page.close())
  await page.goto(url)
  await untilInPage(page, 'document.querySelector("belfry-bell").client?.state === "connected"')
  return page
}

const panelColor = (page: Page): Promise<string> =>
  page.evaluate('getComputedStyle(document.querySelector("belfry-bell").shadowRoot.querySelector(".panel")).backgroundColor')

/** Mean of the channels of `rgb(…)`, 0 to 255. */
const brightness = (color: string): number => {
  const channels =
    color
      .match(/[\d.]+/g)
      ?.slice(0, 3)
      .map(Number) ?? []
  return channels.reduce((sum, channel) => sum + channel, 0) / 3
}

/** Closes a page whose requests a test answers: an answer under way then has no page to go to. */
async function closeRouted(page: Page): Promise<void> {
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.close()
}

t.setTimeout(180_000)

t.test('the bell in all kinds of pages', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0', LOG_MAX_ENTRIES: '500' })
  const browser = await launch(t)

  /** Adds a page with a bell of the user, and returns its address. */
  const addPage = (name: string, user: string, { html = '', head = '', bell = '' } = {}): string => {
    host.files.set(
      `/${name}.html`,
      `<!doctype html><html ${html}><head><title>${name}</title>${head}<script type="module" src="client/bell.js"></script></head>
      <body><belfry-bell url="${service.url}" token-url="/token?user=${user}" ${bell}></belfry-bell></body></html>`
    )
    return `${host.url}/${name}.html`
  }

  await t.test('page languages: underscores, encodings and invalid tags', async (t) => {
    const at = (title: string, age: number) => ({ to: 'lang', type: 'a', title, timestamp: Date.now() - age * HOUR_MS - 60_000 })
    await call(service, 'POST', '/v1/notifications/batch', { notifications: [at('one', 1), at('two', 2), at('three', 5)] })
    for (const [index, [html, bell, expected]] of [
      ['lang="en-US"', '', 'ago'],
      ['lang="en_US"', '', 'ago'],
      ['lang="zh_CN.UTF-8"', '', '小时前'],
      ['lang="de_DE@euro"', '', 'Std'],
      ['lang=" fr_FR "', '', 'h'],
      ['lang="de-DE-"', '', 'Std'],
      ['lang="de" id="outer"', 'lang="x"', 'Std'],
      ['lang="x"', '', 'ago'],
      ['lang="C"', '', 'ago'],
      ['lang="{{ locale }}"', '', 'ago'],
      ['lang=""', '', 'ago'],
      ['xml:lang="de"', '', 'ago']
    ].entries()) {
      const page = await browser.newPage({ locale: 'en-US' })
      const errors: string[] = []
      page.on('pageerror', ({ message }) => errors.push(message))
      await page.goto(addPage(`lang-${index}`, 'lang', { html: html ?? '', bell: bell ?? '' }))
      await page.getByRole('button', { name: 'Notifications, 3 unread' }).click()
      const rows = page.getByRole('dialog').getByRole('listitem')
      await until(async () => (await rows.count()) === 3, `three rows with ${html}`)
      const times = await page.locator('.time').allTextContents()
      t.ok(
        times.every((time) => time.includes(expected ?? '')),
        `${html} ${bell}: ${times}`
      )
      t.same(errors, [], html ?? '')
      await page.close()
    }
  })

  await t.test('the language of the page applies in a shadow tree, and after a change', async (t) => {
    const url = addPage('shadow', 'lang', { html: 'lang="de_DE"' })
    const inside = `<div id="host"></div><script type="module">
      const root = document.querySelector('#host').attachShadow({ mode: 'open' })
      root.append(document.querySelector('belfry-bell'))
      globalThis.bell = root.querySelector('belfry-bell')
    </script></body>`
    host.files.set('/shadow.html', (host.files.get('/shadow.html') ?? '').replace('</body>', inside))
    const page = await browser.newPage({ locale: 'en-US' })
    t.teardown(() => page.close())
    await page.goto(url)
    await page.getByRole('button', { name: 'Notifications, 3 unread' }).click()
    await page.getByRole('dialog').getByRole('listitem').nth(2).waitFor()
    t.match(await page.locator('.time').first().textContent(), 'Std')
    await page.evaluate('bell.setAttribute("lang", "zh_TW")')
    await until(async () => (await page.locator('.time').first().textContent())?.includes('小時前'), 'the other language')
  })

  await t.test('timestamps that no Date can hold: the row is shown without its age', async (t) => {
    await publish(service, 'times', 'a', 'b', 'c', 'd', 'e')
    const timestamps = [8_640_000_000_000_001, -8_640_000_000_000_001, 1e300, null, 'soon']
    const page = await browser.newPage()
    t.teardown(() => closeRouted(page))
    const errors: string[] = []
    page.on('pageerror', ({ message }) => errors.push(message))
    await page.route(/\/v1\/me\/notifications/, async (route) => {
      if (route.request().method() === 'OPTIONS') return route.continue()
      const response = await route.fetch()
      const body = await response.json()
      for (const [index, item] of body.items.entries()) item.timestamp = timestamps[index]
      return route.fulfill({ response, json: body })
    })
    await page.goto(addPage('times', 'times'))
    await page.getByRole('button', { name: 'Notifications, 5 unread' }).click()
    const rows = page.getByRole('dialog').getByRole('listitem')
    await until(async () => (await rows.count()) === 5, 'five rows')
    // Rows that were replayed are there before the page that is loaded.
    await until(async () => (await page.locator('.time[datetime]').count()) === 1, 'the timestamps of the page')
    const times = await page.locator('.time').allTextContents()
    t.same([times[0], times[1], times[2], times[4]], ['', '', '', ''])
    t.not(times[3], '', 'null is 1970')
    await publish(service, 'times', 'later')
    await until(async () => (await rows.count()) === 6, 'the next page is loaded')
    t.same(errors, [])
  })

  await t.test('the panel has the color-scheme of the page, not of the system', async (t) => {
    await publish(service, 'colors', 'one')
    const meta = (content: string): string => `<meta name="color-scheme" content="${content}">`
    const cases: [name: string, system: 'light' | 'dark', page: { html?: string; head?: string; bell?: string }, light: boolean][] = [
      ['plain', 'dark', {}, true],
      ['both', 'dark', { head: meta('light dark') }, false],
      ['both-light', 'light', { head: meta('light dark') }, true],
      ['only-dark', 'light', { html: 'style="color-scheme: dark"' }, false],
      ['only-light', 'dark', { head: meta('light dark'), html: 'style="color-scheme: light"' }, true],
      ['theme-dark', 'light', { bell: 'theme="dark"' }, false],
      ['theme-light', 'dark', { head: meta('dark'), bell: 'theme="light"' }, true],
      ['theme-unknown', 'dark', { bell: 'theme="sepia"' }, true]
    ]
    for (const old of [false, true]) {
      for (const [name, colorScheme, content, light] of cases) {
        const page = await browser.newPage({ colorScheme, reducedMotion: 'reduce' })
        // A browser without light-dark() skips the block.
        const skip = `const { replaceSync } = CSSStyleSheet.prototype
          CSSStyleSheet.prototype.replaceSync = function (text) { replaceSync.call(this, text.replaceAll('light-dark(', 'no-light-dark(')) }`
        if (old) await page.addInitScript(skip)
        await page.goto(addPage(name, 'colors', content))
        await page.getByRole('button', { name: 'Notifications, 1 unread' }).click()
        await page.getByRole('dialog').getByRole('listitem').waitFor()
        const color = await panelColor(page)
        t.ok(light ? brightness(color) > 200 : brightness(color) < 60, `${name}, ${old ? 'without' : 'with'} light-dark(): ${color}`)
        if (old) t.same(await violations(page).then((found) => found.filter((line) => /contrast/.test(line))), [], `${name}: contrast`)
        await page.close()
      }
    }
  })

  await t.test('the badge covers neither the bell nor the neighbour of the button', async (t) => {
    let unread = 0
    for (const [more, text] of [
      [1, '1'],
      [41, '42'],
      [100, '99+']
    ] as const) {
      await publish(service, 'badge', ...Array.from({ length: more }, (_, n) => `number ${n}`))
      unread += more
      for (const dir of ['ltr', 'rtl']) {
        const page = await openPage(t, browser, addPage(`badge-${dir}`, 'badge', { html: `dir="${dir}"` }))
        await page.getByText(text, { exact: true }).waitFor()
        const { button, icon, badge } = await boxes(page, { button: '.bell', icon: '.bell svg', badge: '.badge' })
        const covered =
          Math.max(0, Math.min(icon.right, badge.right) - Math.max(icon.left, badge.left)) *
          Math.max(0, Math.min(icon.bottom, badge.bottom) - Math.max(icon.top, badge.top))
        const size = (icon.right - icon.left) * (icon.bottom - icon.top)
        t.ok(covered <= 0.1 * size, `${unread} ${dir}: ${covered} px² of the icon are covered`)
        t.ok(badge.left >= button.left && badge.right <= button.right + 0.5, `${unread} ${dir}: inside of the button`)
        t.ok(badge.top >= button.top, `${unread} ${dir}: not above the button`)
        await page.close()
      }
    }
  })

  await t.test('opened again, the panel starts at the newest row', async (t) => {
    await publish(service, 'fold', ...Array.from({ length: 40 }, (_, n) => `number ${n}`))
    const page = await openBell(t, browser, host, service, 'fold')
    const button = page.getByRole('button', { name: /^Notifications/ })
    await button.click()
    const dialog = page.getByRole('dialog')
    const rows = dialog.getByRole('listitem')
    await until(async () => (await rows.count()) === 40, 'the rows')
    await page.keyboard.press('End')
    await untilInPage(page, 'bell.shadowRoot.querySelector(".scroll").scrollTop > 500')
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    await publish(service, 'fold', 'newer', 'newest')
    await page.getByRole('button', { name: 'Notifications, 42 unread' }).click()
    await until(async () => (await rows.first().locator('.title').textContent()) === 'newest', 'the newest row')
    t.equal(await page.evaluate('bell.shadowRoot.querySelector(".scroll").scrollTop'), 0)
    await until(async () => (await focused(page)) === 'newest', 'the focus on newest')
    const { row, scroll } = await boxes(page, { row: '.item', scroll: '.scroll' })
    t.ok(row.top >= scroll.top, 'the newest row is in view')
  })

  await t.test('the code of the panel is loaded when it is first needed', async (t) => {
    await publish(service, 'demand', 'one', 'two')
    const requested: string[] = []
    let answer: (() => void) | undefined
    /** Opens a page whose requests for the code wait for `answer`, or fail while there is none. */
    const open = async (name: string): Promise<Page> => {
      requested.length = 0
      const page = await browser.newPage({ viewport: { width: 900, height: 700 } })
      t.teardown(() => closeRouted(page))
      await page.route(/\/chunks\/view-/, async (route) => {
        requested.push(route.request().url())
        if (answer === undefined) return route.abort()
        await new Promise<void>((resolve) => {
          answer = resolve
        })
        return route.continue()
      })
      await page.addInitScript(`globalThis.events = []
        for (const name of ['open', 'close', 'error']) addEventListener('belfry-' + name, ({ detail }) => events.push(detail?.code ?? name))`)
      await page.goto(addPage(name, 'demand'))
      await page.getByRole('button', { name: 'Notifications, 2 unread' }).waitFor()
      return page
    }
    const events = (page: Page): Promise<string[]> => page.evaluate('events')
    const bell = 'document.querySelector("belfry-bell")'

    answer = () => {}
    const page = await open('demand')
    t.same(requested, [], 'not for the badge')
    const button = page.getByRole('button', { name: 'Notifications, 2 unread' })
    await button.hover()
    await until(() => requested.length === 1, 'the request at the first hover')
    await button.click()
    t.same([await button.getAttribute('aria-expanded'), await button.getAttribute('aria-busy')], ['true', 'true'], 'the button says so')
    await page.keyboard.press('Escape')
    t.equal(await button.getAttribute('aria-expanded'), 'false')
    await page.evaluate(`void [${bell}.open(), ${bell}.close(), ${bell}.open()]`)
    answer()
    await page.getByRole('dialog').getByRole('listitem').nth(1).waitFor()
    await until(async () => (await focused(page)) === 'two', 'the focus')
    t.equal(await button.getAttribute('aria-busy'), null)
    t.same(await events(page), ['open'], 'once: what was closed before the panel was there did not open')
    t.equal(requested.length, 1)
    await page.keyboard.press('Escape')
    t.equal(await page.evaluate(`(${bell}.open(), ${bell}.shadowRoot.activeElement.className)`), 'main', 'opens at once from then on')

    const ahead = await open('demand-ahead')
    await until(() => requested.length === 1, 'the request when the connection has stood for a while, without a pointer')
    answer()
    await ahead.locator('.panel').waitFor({ state: 'attached' })
    await ahead.route('**', (route) => route.abort())
    await ahead.getByRole('button', { name: 'Notifications, 2 unread' }).click()
    await ahead.getByRole('dialog').waitFor()
    t.same(await events(ahead), ['open'], 'the panel opens without a network')

    answer = undefined
    const offline = await open('demand-fails')
    await offline.getByRole('button', { name: 'Notifications, 2 unread' }).hover()
    await until(() => requested.length === 1, 'the request')
    t.same(await events(offline), [], 'a failure is reported when the panel is wanted')
    const says = offline.locator('belfry-bell .failure')
    const bellButton = offline.getByRole('button', { name: 'Notifications, 2 unread' })
    await bellButton.click()
    await says.getByText('Notifications could not be loaded. Try again').waitFor()
    t.equal(await offline.locator('belfry-bell [aria-live]').textContent(), 'Notifications could not be loaded.')
    const before = requested.length
    await bellButton.click()
    await until(() => requested.length > before, 'the next press tries again')
    await says.click()
    await until(() => requested.length > before + 1, 'so does a press of the message')
    t.same([...new Set(await events(offline))], ['BELFRY_CLIENT_PANEL'])
    await bellButton.focus()
    await offline.keyboard.press('Escape')
    await says.waitFor({ state: 'hidden' })
    t.equal(await bellButton.getAttribute('aria-expanded'), 'false')
    await bellButton.click()
    await says.waitFor()
    await offline.evaluate(
      `document.body.append(document.createElement('belfry-inbox')), document.querySelector('belfry-inbox').client = ${bell}.client`
    )
    await offline.locator('belfry-inbox .failure').getByText('Try again').waitFor()
    await offline.unroute(/\/chunks\/view-/)
    await offline.evaluate('dispatchEvent(new Event("offline")), dispatchEvent(new Event("online"))')
    for (const element of ['belfry-inbox', 'belfry-bell']) {
      await offline.locator(element).getByRole('listitem').nth(1).waitFor()
      await offline.locator(`${element} .failure`).waitFor({ state: 'hidden' })
    }
    t.equal((await events(offline)).at(-1), 'open', 'the panel opens by itself with the next connection')
  })

  await t.test('an archiving can be undone, by pointer and by keyboard', async (t) => {
    await publish(service, 'undo', 'one', 'two', 'three')
    const page = await openBell(t, browser, host, service, 'undo')
    await page.getByRole('button', { name: 'Notifications, 3 unread' }).click()
    const dialog = page.getByRole('dialog')
    const rows = dialog.getByRole('listitem')
    await until(async () => (await rows.count()) === 3, 'the rows')
    const states = async (): Promise<string[]> =>
      (await call(service, 'GET', '/v1/users/undo/notifications')).body.items.map(({ state }: { state: string }) => state)

    await rows.nth(1).hover()
    await page.getByRole('button', { name: 'Archive: two' }).click()
    await until(async () => (await rows.count()) === 2, 'two rows')
    await page.getByText('Archived.').waitFor()
    await until(async () => (await states()).includes('archived'), 'the service to archive it')
    t.same(await violations(page), [])
    await page.getByRole('button', { name: 'Undo' }).click()
    await until(async () => (await rows.count()) === 3, 'the row')
    t.equal(await rows.nth(1).locator('.title').textContent(), 'two', 'in its place')
    await until(async () => (await focused(page)) === 'two', 'the focus on the row')
    await until(async () => (await states()).every((state) => state === 'unread' || state === 'seen'), 'the service to take it back')
    t.equal(await page.getByRole('button', { name: 'Undo' }).count(), 0)

    await rows.first().getByRole('button', { name: /three/ }).or(rows.first().getByRole('link')).first().click()
    await until(async () => (await states())[0] === 'read', 'the first to be read')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await until(async () => (await rows.count()) === 2, 'two rows')
    await until(async () => (await focused(page)) === 'two', 'the focus on two')
    for (const control of ['Archive: two', 'Options: two', 'Undo']) {
      await page.keyboard.press('Tab')
      t.equal(await focused(page), control)
    }
    await page.keyboard.press('Enter')
    await until(async () => (await focused(page)) === 'three', 'the focus on the row')
    await until(async () => (await states())[0] === 'read', 'read as before')

    await page.getByRole('button', { name: 'Archive: three' }).click()
    await page.getByRole('button', { name: 'Undo' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Notifications, 2 unread' }).click()
    await page.getByRole('button', { name: 'Undo' }).click()
    await until(async () => (await rows.count()) === 3, 'closing the panel does not lose the offer')
    await page.getByRole('button', { name: 'Archive: two' }).click()
    await page.getByRole('button', { name: 'Undo' }).waitFor()
    await page.evaluate('bell.user = "somebody else"')
    await page.getByRole('button', { name: 'Undo' }).waitFor({ state: 'hidden' })
  })

  await t.test('a change that fails is taken back, and reported on its row, to screen readers and to the page', async (t) => {
    await publish(service, 'fail', 'one', 'two', 'three')
    let control = { refuse: false }
    const page = await openBell(t, browser, host, service, 'fail', {}, 'light', async (page) => {
      control = await refuseMarks(page)
    })
    await page.evaluate('globalThis.errors = []; addEventListener("belfry-error", ({ detail }) => errors.push(detail.code))')
    await page.getByRole('button', { name: 'Notifications, 3 unread' }).click()
    const dialog = page.getByRole('dialog')
    const rows = dialog.getByRole('listitem')
    await until(async () => (await rows.count()) === 3, 'the rows')
    control.refuse = true

    await rows.nth(1).getByRole('link').click()
    await rows.nth(1).getByText('Could not be marked as read.').waitFor()
    t.match(await rows.nth(1).getAttribute('class'), /\bunread\b/)
    await page.getByRole('button', { name: 'Notifications, 3 unread' }).waitFor()
    await until(async () => (await page.locator('[aria-live]').textContent()) === 'two: Could not be marked as read.', 'the announcement')

    await page.getByRole('button', { name: 'Archive: three' }).click()
    await rows.first().getByText('Could not be archived.').waitFor()
    t.equal(await rows.count(), 3, 'the row is back')
    t.equal(await rows.first().locator('.title').textContent(), 'three')
    t.equal(await page.getByRole('button', { name: 'Undo' }).count(), 0, 'there is nothing to undo')
    t.same(await violations(page), [])

    await page.getByRole('button', { name: 'Mark all read' }).click()
    await page.locator('.action-bar').getByText('Could not be marked as read.').waitFor()
    await page.getByRole('button', { name: 'Notifications, 3 unread' }).waitFor()
    t.same(await page.evaluate('errors'), ['BELFRY_ERR_UNAVAILABLE', 'BELFRY_ERR_UNAVAILABLE', 'BELFRY_ERR_UNAVAILABLE'])

    control.refuse = false
    await page.getByRole('button', { name: 'Archive: three' }).click()
    await until(async () => (await rows.count()) === 2, 'two rows')
    control.refuse = true
    await page.getByRole('button', { name: 'Undo' }).click()
    await page.getByText('Could not be restored.').waitFor()
    t.equal(await rows.count(), 2)
    control.refuse = false
    await page.getByRole('button', { name: 'Try again' }).click()
    await until(async () => (await rows.count()) === 3, 'the row')
    await rows.nth(1).getByRole('link').click()
    await page.getByRole('button', { name: 'Notifications, 2 unread' }).waitFor()
    t.equal(await rows.nth(1).getByText('Could not be marked as read.').count(), 0)
  })

  await t.test('the files that the service serves run in pages of other origins, with the hashes of the guide', async (t) => {
    await publish(service, 'served', 'one')
    const guide = await readFile('docs/guides/browser-sdk.md', 'utf8')
    const samples = [...guide.matchAll(/<script[^>]*src="https:\/\/notify\.example\.com\/client\/[^>]*><\/script>/g)].map(([tag]) => tag)
    t.equal(samples.length, 2)
    for (const [index, tag] of samples.entries()) {
      host.files.set(
        `/served-${index}.html`,
        `<!doctype html><title>Served</title>${tag.replace('https://notify.example.com', service.url)}
        <belfry-bell url="${service.url}" token-url="/token?user=served"></belfry-bell>`
      )
      const page = await openPage(t, browser, `${host.url}/served-${index}.html`)
      await page.getByRole('button', { name: 'Notifications, 1 unread' }).waitFor()
    }
    host.files.set(
      '/modules.html',
      `<!doctype html><title>Modules</title><script type="module">
        import { Belfry } from '${service.url}/client/index.js'
        import { Inbox } from '${service.url}/client/inbox.js'
        const belfry = new Belfry('${service.url}', { getToken: async () => (await fetch('/token?user=served')).text() })
        globalThis.inbox = new Inbox(belfry)
        belfry.connect()
        await inbox.load()
        globalThis.titles = inbox.list().map(({ title }) => title)
      </script>`
    )
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(`${host.url}/modules.html`)
    await untilInPage(page, 'globalThis.titles')
    t.same(await page.evaluate('titles'), ['one'])
  })

  await t.test('the bell works without the APIs that the oldest supported browsers do not have', async (t) => {
    await publish(service, 'old', 'one', 'two')
    const page = await browser.newPage()
    t.teardown(() => page.close())
    const errors: string[] = []
    page.on('pageerror', ({ message }) => errors.push(message))
    await page.addInitScript(`
      for (const name of ['canParse', 'parse']) delete URL[name]
      for (const name of ['showPopover', 'hidePopover', 'togglePopover', 'popover', 'checkVisibility']) delete HTMLElement.prototype[name]
      for (const name of ['toSorted', 'toReversed', 'toSpliced', 'with']) delete Array.prototype[name]
      for (const name of ['union', 'intersection', 'difference', 'symmetricDifference', 'isSubsetOf']) delete Set.prototype[name]
      for (const name of ['withResolvers', 'try']) delete Promise[name]
      for (const name of ['isWellFormed', 'toWellFormed']) delete String.prototype[name]
      delete Object.groupBy
      delete Map.groupBy
      delete Array.fromAsync
      delete AbortSignal.any
      delete globalThis.Iterator
      delete globalThis.scheduler
      delete globalThis.requestIdleCallback
      const { replaceSync } = CSSStyleSheet.prototype
      CSSStyleSheet.prototype.replaceSync = function (text) { replaceSync.call(this, text.replaceAll('light-dark(', 'no-light-dark(')) }
    `)
    await page.goto(addPage('old', 'old'))
    await page.getByRole('button', { name: 'Notifications, 2 unread' }).click()
    const rows = page.getByRole('dialog').getByRole('listitem')
    await until(async () => (await rows.count()) === 2, 'the rows')
    t.equal(await rows.first().getByRole('link').getAttribute('href'), `${host.url}/old.html#there`)
    await rows.first().hover()
    await page.getByRole('button', { name: 'Archive: two' }).click()
    await page.getByRole('button', { name: 'Undo' }).click()
    await until(async () => (await rows.count()) === 2, 'the row')
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    t.same(errors, [])
  })

  await t.test('an invalid url is reported: belfry-error and one line in the console', async (t) => {
    host.files.set(
      '/no-url.html',
      `<!doctype html><title>No url</title><script>
        globalThis.errors = []
        addEventListener('belfry-error', ({ detail }) => errors.push(detail.code))
      </script><script type="module" src="client/bell.js"></script>`
    )
    for (const url of ['http://', 'ftp://notify.example.com', 'http://[bad]/']) {
      const page = await browser.newPage()
      const problems: string[] = []
      page.on('pageerror', ({ message }) => problems.push(message))
      page.on('console', (message) => problems.push(`${message.type()}: ${message.text()}`))
      await page.goto(`${host.url}/no-url.html`)
      await page.evaluate(`document.body.innerHTML = '<belfry-bell url="${url}" token-url="/token?user=x"></belfry-bell>'`)
      await untilInPage(page, 'errors.length === 1')
      t.equal(await page.evaluate('errors[0]'), 'BELFRY_CLIENT_URL')
      await until(() => problems.length > 0, 'the line')
      t.match(problems, [/^warning: Belfry: the attribute url/], url)
      t.equal(problems.length, 1)
      await page.close()
    }
  })
})
