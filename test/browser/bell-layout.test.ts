import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'
import { focused, openBell, publish } from './bell-page.ts'
import { type Box, boxes, launch, measure, startHost, untilInPage } from './browser.ts'

const LANGUAGES = ['ar', 'de', 'es', 'fr', 'ja']
const GAP = 8
/** The scrolled element in the page. */
const SCROLL = 'bell.shadowRoot.querySelector(".scroll")'

t.setTimeout(120_000)

t.test('order, places, sizes and languages', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' })
  const browser = await launch(t)
  const panelOf = async (page: Page): Promise<Box> => (await boxes(page, { panel: '.panel' })).panel
  const openPanel = async (page: Page): Promise<void> => {
    await page.evaluate('bell.open()')
    await untilInPage(page, 'bell.shadowRoot.getAnimations().length === 0')
  }

  await t.test('new rows wait while the list is scrolled, and nothing jumps', async (t) => {
    await publish(service, 'waits', ...Array.from({ length: 30 }, (_, n) => `number ${n}`))
    const page = await openBell(t, browser, host, service, 'waits')
    await openPanel(page)
    await until(async () => (await page.locator('.item').count()) === 30, 'the rows')
    await page.evaluate(`${SCROLL}.scrollTo(0, 300)`)
    const at = (): Promise<number> =>
      measure(
        page,
        `[...bell.shadowRoot.querySelectorAll('.item')].find(({ textContent }) => textContent.includes('number 20')).getBoundingClientRect().y`
      )
    const before = await at()
    await publish(service, 'waits', 'a', 'b')
    const newer = page.getByRole('button', { name: '2 new ↑' })
    await newer.waitFor()
    t.equal(await at(), before)
    t.equal(await page.locator('.title').first().textContent(), 'number 29')
    await newer.click()
    await until(async () => (await page.locator('.title').first().textContent()) === 'b', 'the newest')
    await until(async () => (await focused(page)) === 'b', 'the focus on b')
    t.equal(await page.evaluate(`${SCROLL}.scrollTop`), 0)
    await newer.waitFor({ state: 'hidden' })
    t.equal(await measure(page, `(${SCROLL}.scrollTo(0, 300), ${SCROLL}.scrollTop)`), 300)
    await measure(page, 'true')
    await publish(service, 'waits', 'c')
    await page.getByRole('button', { name: '1 new ↑' }).waitFor()
    await page.evaluate(`${SCROLL}.scrollTo(0, 0)`)
    await until(async () => (await page.locator('.title').first().textContent()) === 'c', 'scrolled back, the newest is there')
  })

  await t.test('placement: start, end and auto, inside of the window, beside a button that moves', async (t) => {
    const page = await openBell(t, browser, host, service, 'place')
    for (const dir of ['ltr', 'rtl']) {
      for (const [side, placement, aligned] of [
        ['450px', 'end', 'end'],
        ['300px', 'start', 'start'],
        ['450px', 'auto', 'end'],
        ['20px', 'auto', 'start'],
        ['4px', 'end', undefined],
        ['840px', 'start', undefined]
      ] as const) {
        await page.evaluate(`document.documentElement.dir = '${dir}'
          bell.style.cssText = 'position: fixed; top: 20px; inset-inline-start: ${side}'; bell.setAttribute('placement', '${placement}')`)
        await openPanel(page)
        const { panel, button } = await boxes(page, { panel: '.panel', button: '.bell' })
        const name = `${dir} ${side} ${placement}`
        t.ok(panel.left >= GAP && panel.right <= 900 - GAP && panel.bottom <= 700, `${name}: ${JSON.stringify(panel)}`)
        const edge = (aligned === 'end') === (dir === 'ltr') ? 'right' : 'left'
        if (aligned) t.ok(Math.abs(panel[edge] - button[edge]) < 1, `${name}: ${JSON.stringify({ panel, button })}`)
        await page.evaluate('bell.close()')
      }
    }
    await page.evaluate(`document.documentElement.dir = 'ltr'; bell.style.cssText = 'position: fixed; top: 20px; left: 450px'`)
    await page.evaluate(`bell.setAttribute('placement', 'end')`)
    await openPanel(page)
    await page.evaluate(`bell.setAttribute('placement', 'start')`)
    await until(async () => (await panelOf(page)).left === 450, 'the other placement')
    await page.evaluate('bell.close()')
    await page.evaluate(`bell.style.left = '400px'`)
    await openPanel(page)
    const first = await panelOf(page)
    await page.evaluate(`bell.style.top = '140px'`)
    await until(async () => (await panelOf(page)).top === first.top + 120, 'the panel to follow')
    await page.evaluate(`bell.style.top = '640px'`)
    await until(async () => (await panelOf(page)).bottom === 640 - GAP, 'the panel above its button')
  })

  await t.test(
    'below a zoom of the page or of an ancestor, panel and menus are beside their buttons and inside of the window',
    async (t) => {
      await publish(service, 'zoomed', 'one')
      const page = await openBell(t, browser, host, service, 'zoomed')
      await page.evaluate(`bell.style.cssText = 'position: fixed; top: 20px; right: 20px'`)
      const near = (a: number, b: number): boolean => Math.abs(a - b) < 1
      for (const [target, zoom] of [
        ['document.documentElement', 1.5],
        ['document.body', 0.8],
        ['bell', 1.25]
      ] as const) {
        await page.setViewportSize({ width: 900, height: 700 })
        await page.evaluate(`${target}.style.zoom = ${zoom}`)
        await openPanel(page)
        const { panel, button } = await boxes(page, { panel: '.panel', button: '.bell' })
        const seen = `${target} ${zoom}: ${JSON.stringify({ panel, button })}`
        t.ok(near(panel.right, button.right) && near(panel.top, button.bottom + GAP), seen)
        t.ok(near(panel.right - panel.left, 400 * zoom) && panel.left >= GAP && panel.bottom <= 700, seen)
        await page.getByRole('button', { name: 'Options: one' }).first().click()
        await untilInPage(page, 'bell.shadowRoot.getAnimations().length === 0')
        const { menu, opener } = await boxes(page, { menu: '.menu', opener: '[aria-haspopup="menu"][aria-expanded="true"]' })
        t.ok(near(menu.right, opener.right) && near(menu.top, opener.bottom + GAP), `${target}: ${JSON.stringify({ menu, opener })}`)
        await page.keyboard.press('Escape')
        await page.setViewportSize({ width: 400, height: 600 })
        await until(async () => near((await panelOf(page)).right, 400), 'the panel to fill the screen')
        const small = await panelOf(page)
        t.ok(
          [small.left, small.top, small.bottom - 600].every((each) => near(each, 0)),
          `${target}: ${JSON.stringify(small)}`
        )
        await page.evaluate(`bell.close(); ${target}.style.zoom = ''`)
      }
    }
  )

  await t.test('the frame that shows another size of the window has the panel inside of it', async (t) => {
    const page = await openBell(t, browser, host, service, 'resized')
    await page.evaluate(`bell.style.cssText = 'position: fixed; top: 20px; right: 20px'; globalThis.sizes = []
      addEventListener('resize', () => requestAnimationFrame(() => {
        const { left, right, bottom } = bell.shadowRoot.querySelector('.panel').getBoundingClientRect()
        sizes.push([left >= 0, right <= innerWidth, bottom <= innerHeight, innerWidth])
      }))`)
    await openPanel(page)
    for (const width of [500, 900, 480, 700]) {
      await page.setViewportSize({ width, height: width - 100 })
      await untilInPage(page, `sizes.at(-1)?.[3] === ${width}`)
    }
    for (const size of await page.evaluate<unknown[][]>('sizes')) t.match(size, [true, true, true, Number])
  })

  await t.test('below 480 px the panel fills the screen and has a close button', async (t) => {
    await publish(service, 'small', 'one')
    const page = await openBell(t, browser, host, service, 'small')
    await openPanel(page)
    const close = page.getByRole('button', { name: 'Close', exact: true })
    t.equal(await close.isVisible(), false)
    for (const width of [479, 320]) {
      await page.setViewportSize({ width, height: 600 })
      await until(async () => (await panelOf(page)).right === width, 'the panel to fill the screen')
      t.match(await panelOf(page), { left: 0, right: width, top: 0, bottom: 600 })
      t.equal(await page.evaluate(`${SCROLL}.scrollWidth <= ${SCROLL}.clientWidth`), true)
    }
    await close.click()
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await until(async () => (await focused(page)) === 'Notifications, 1 unread', 'the focus on the button')
  })

  await t.test('<belfry-inbox> is a part of the page: open at once, a region, with rows that become seen in view', async (t) => {
    await publish(service, 'inline', 'one', 'two')
    host.files.set(
      '/inline.html',
      `<!doctype html><title>Inline</title><script type="module" src="client/bell.js"></script>
      <div style="height: 2000px"></div><belfry-inbox url="${service.url}" token-url="/token?user=inline"></belfry-inbox>`
    )
    const page = await browser.newPage({ viewport: { width: 700, height: 600 } })
    t.teardown(() => page.close())
    await page.goto(`${host.url}/inline.html`)
    const region = page.getByRole('region', { name: 'Notifications' })
    await until(async () => (await region.getByRole('listitem').count()) === 2, 'the rows')
    const states = async (): Promise<string> =>
      String((await call(service, 'GET', '/v1/users/inline/notifications')).body.items.map(({ state }: { state: string }) => state))
    await publish(service, 'inline', 'three')
    t.equal(await states(), 'unread,unread,unread', 'nothing is in view')
    await region.scrollIntoViewIfNeeded()
    await page.evaluate('scrollTo(0, document.body.scrollHeight)')
    await until(async () => (await states()) === 'seen,seen,seen', 'seen')
    await region.getByRole('listitem').first().locator('.main').click()
    await until(async () => (await states()) === 'read,seen,seen', 'read')
    t.equal(await page.evaluate('document.querySelector("belfry-inbox").unread'), 2)
    t.equal(await page.getByRole('button', { name: 'Close', exact: true }).count(), 0)
    await page.evaluate('document.querySelector("belfry-inbox").remove()')
    await until(
      async () => (await call(service, 'GET', '/v1/users/inline/connections')).body.items.length === 0,
      'the end of the connection'
    )
  })

  await t.test('language files have all texts, with the placeholders of the English ones, and all plurals', async (t) => {
    const source = await readFile('packages/client/src/bell/messages.ts', 'utf8')
    const english = /const english[^=]*= (\{.*?\n\})/s.exec(source)?.[1] ?? ''
    const entries = [...english.matchAll(/^ {2}(\w+): (.*?),?$/gm)].map(([, name = '', text = '']) => [name, text] as const)
    t.ok(entries.length > 40)
    const placeholders = (text: string): string => [...new Set(text.match(/\{\d\}/g) ?? [])].toSorted().join()
    for (const language of LANGUAGES) {
      const texts = JSON.parse(await readFile(`packages/client/languages/${language}.json`, 'utf8'))
      t.equal(texts.lang, language)
      t.same(
        Object.keys(texts).toSorted(),
        ['lang', ...entries.map(([name]) => name).filter((name) => name !== 'badge')].toSorted(),
        language
      )
      for (const [name, text] of entries.filter(([name]) => name !== 'badge')) {
        const own = texts[name]
        const all = typeof own === 'string' ? own : own.other
        t.equal(placeholders(all), placeholders(text), `${language} ${name}`)
        if (typeof own === 'string') continue
        const needed = language === 'ar' && 'one' in own ? ['one', 'two', 'few', 'many', 'other'] : ['other']
        for (const category of needed) t.type(own[category], 'string', `${language} ${name} ${category}`)
      }
    }
  })

  await t.test('in every language the title and the buttons of the header stand beside each other', async (t) => {
    await publish(service, 'header', 'read', 'unread')
    const { items } = (await call(service, 'GET', '/v1/users/header/notifications')).body
    await call(service, 'POST', '/v1/users/header/notifications/mark', { ids: [items[1].id], state: 'read' })
    const page = await openBell(t, browser, host, service, 'header')
    await openPanel(page)
    for (const language of LANGUAGES) {
      const texts = JSON.parse(await readFile(`packages/client/languages/${language}.json`, 'utf8'))
      await page.evaluate((texts) => Object.assign((globalThis as unknown as { bell: object }).bell, { messages: texts }), texts)
      for (const width of [900, 320]) {
        await page.setViewportSize({ width, height: 700 })
        await until(async () => (await page.locator('h2').textContent()) === texts.title, 'the title')
        const { items, panel, isCut } = await measure<{ items: Box[]; panel: Box; isCut: boolean }>(
          page,
          `((root, box) => ({
            items: [...root.querySelectorAll('h2, .head > button')].map(box).filter(({ width }) => width > 0),
            panel: box(root.querySelector('.panel')),
            isCut: (({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(root.querySelector('h2'))
          }))(bell.shadowRoot, (element) => element.getBoundingClientRect().toJSON())`
        )
        items.sort((a, b) => a.left - b.left)
        const overlaps = items.some(({ left }, index) => left < (items[index - 1]?.right ?? 0))
        t.match([items.length, overlaps], [width === 320 ? 4 : 3, false], `${language}, ${width} px`)
        if (width > 320) t.equal(isCut, false, `${language}: the whole title`)
        t.ok(
          items.every(({ left, right }) => left >= panel.left && right <= panel.right),
          `${language}, ${width} px: inside`
        )
      }
    }
  })

  await t.test('the content of a language file as messages: texts, plurals and dates', async (t) => {
    await call(service, 'POST', '/v1/notifications', { to: 'words', type: 'a', title: 'one', timestamp: Date.now() - 7_300_000 })
    const page = await openBell(t, browser, host, service, 'words')
    const use = async (language: string): Promise<void> => {
      await page.evaluate(`import('/client/bell.js').then(async () => {
        bell.messages = await (await fetch('${service.url}/client/languages/${language}.json')).json()
      })`)
    }
    await page.evaluate('document.documentElement.removeAttribute("lang")')
    for (const [language, one, many] of [
      ['de', 'Benachrichtigungen, 1 ungelesen', 'Benachrichtigungen, 3 ungelesen'],
      ['fr', 'Notifications, 1 non lue', 'Notifications, 3 non lues'],
      ['ja', '通知、未読1件', '通知、未読3件'],
      ['ar', 'الإشعارات، غير المقروءة: 1', 'الإشعارات، غير المقروءة: 3']
    ] as const) {
      await use(language)
      await until(
        async () => (await page.locator('.bell').getAttribute('aria-label')) === one,
        () => `${language}: ${one}`
      )
      await openPanel(page)
      const age = new Intl.RelativeTimeFormat(language, { style: 'short', numeric: 'auto' }).format(-2, 'hour')
      await until(
        async () => (await page.locator('.time').last().textContent()) === age,
        () => `${language}: ${age}`
      )
      await page.evaluate('bell.close()')
      await publish(service, 'words', 'two', 'three')
      await until(
        async () => (await page.locator('.bell').getAttribute('aria-label')) === many,
        () => `${language}: ${many}`
      )
      const { items } = (await call(service, 'GET', '/v1/users/words/notifications?state=unread')).body
      const ids = items.slice(0, 2).map(({ id }: { id: string }) => id)
      await call(service, 'POST', '/v1/users/words/notifications/mark', { ids, state: 'archived' })
    }
    await page.evaluate(
      `bell.messages = { lang: 'not a tag', button: (count) => 'own ' + count, arrivedMany: { one: 'a', other: 'b {0}' } }`
    )
    await until(async () => (await page.locator('.bell').getAttribute('aria-label')) === 'own 1', 'functions')
    await use('ar')
    await until(async () => (await page.evaluate('bell.messages.title')) === 'الإشعارات', 'Arabic')
    t.same(await page.evaluate('[1, 2, 3, 11, 100].map((count) => bell.messages.arrivedMany(count))'), [
      'إشعار جديد واحد',
      'إشعاران جديدان',
      '3 إشعارات جديدة',
      '11 إشعارًا جديدًا',
      '100 إشعار جديد'
    ])
    await page.evaluate(`bell.messages = { lang: 'not a tag', arrivedMany: { one: 'a', other: 'b {0}' } }`)
    t.same(await page.evaluate('[bell.messages.title, bell.messages.arrivedMany(1), bell.messages.arrivedMany(5)]'), [
      'Notifications',
      'a',
      'b 5'
    ])
  })
})
