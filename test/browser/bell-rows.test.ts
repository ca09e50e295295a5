import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'
import { focused, openBell, publish } from './bell-page.ts'
import { boxes, launch, startHost, untilInPage } from './browser.ts'

const LONG = Array.from({ length: 12 }, (_, n) => `This is sentence ${n} of a long body.`).join(' ')

t.setTimeout(120_000)

t.test('rows of the bell', async (t) => {
  const host = await startHost(t)
  const service = await startService(t, { CORS_ORIGIN: host.url, RATE_LIMIT_MAX: '0' })
  const browser = await launch(t)
  const send = (user: string, ...notifications: object[]) =>
    call(service, 'POST', '/v1/notifications/batch', {
      notifications: notifications.map((one) => ({ to: user, type: 'sync.finished', title: 'Sync finished', ...one }))
    })
  const rowsOf = (page: Page) => page.getByRole('dialog').getByRole('listitem')
  const openPanel = async (page: Page, count: number): Promise<void> => {
    await page.getByRole('button', { name: /^Notifications/ }).click()
    await until(async () => (await rowsOf(page).count()) === count, `${count} rows`)
  }

  await t.test('a body has up to three lines, and a button opens the rest', async (t) => {
    await send('body', { data: { body: 'short' } }, { title: 'Long', data: { body: LONG } }, { data: { body: { not: 'a text' } } })
    const page = await openBell(t, browser, host, service, 'body')
    await openPanel(page, 3)
    const long = rowsOf(page).nth(1)
    const more = long.getByRole('button', { name: 'Show more' })
    await more.waitFor()
    const height = async () => {
      const { body } = await boxes(page, { body: '.item:nth-child(2) .body' })
      return body.bottom - body.top
    }
    t.equal(await height(), 60, 'three lines of 20 px')
    t.equal(await rowsOf(page).getByRole('button', { name: 'Show more' }).count(), 1, 'the others fit')
    t.equal(await rowsOf(page).first().locator('.body').textContent(), '', 'a body is text')
    await more.focus()
    await page.keyboard.press('Enter')
    t.ok((await height()) > 100)
    const less = long.getByRole('button', { name: 'Show less' })
    t.equal(await less.getAttribute('aria-expanded'), 'true')
    await less.click()
    t.equal(await height(), 60)
  })

  await t.test('a picture is shown if it is https or of the page; else a letter of the type', async (t) => {
    const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')
    const icons = [
      'https://pictures.example.com/a.png',
      '/own.png',
      'https://pictures.example.com/missing.png',
      'http://other.example.com/a.png'
    ]
    icons.push('data:image/png;base64,AAAA', 'javascript:alert(1)', '//pictures.example.com/a.png')
    await send('icons', ...icons.map((icon) => ({ data: { icon } })), { type: '…' })
    const requested: string[] = []
    const page = await openBell(t, browser, host, service, 'icons', {}, 'light', async (page) => {
      await page.route(/\.png$/, (route) => {
        requested.push(route.request().url())
        return /missing/.test(route.request().url()) ? route.abort() : route.fulfill({ contentType: 'image/png', body: png })
      })
    })
    await openPanel(page, 8)
    await until(async () => (await page.locator('.icon img').count()) === 2, 'two pictures, and none for the one that is missing')
    const letters = await page.locator('.icon').allTextContents()
    t.same(letters, ['', 's', 's', 's', 's', 's', '', ''])
    await until(() => requested.length >= 3, 'the requests')
    t.same(requested.toSorted(), [`${host.url}/own.png`, icons[0], icons[2]].toSorted())
  })

  await t.test('a ref that only looks like a path of the page is no link', async (t) => {
    await send(
      'refs',
      ...['//evil.example/a', '/\\evil.example', '/\t/evil.example', '/own', 'https://docs.example/a'].map((ref) => ({ ref }))
    )
    const page = await openBell(t, browser, host, service, 'refs')
    await openPanel(page, 5)
    t.same(await page.evaluate('[...bell.shadowRoot.querySelectorAll(".item")].map((row) => row.querySelector("a")?.href)'), [
      'https://docs.example/a',
      `${host.url}/own`,
      undefined,
      undefined,
      undefined
    ])
  })

  await t.test('a row is one sentence, and has its full date on hover and on focus', async (t) => {
    await send(
      'sentence',
      { title: 'Sync finished', timestamp: Date.now() - 3_700_000, data: { body: '12 records' }, ref: '#x' },
      { title: 'Next' }
    )
    const page = await openBell(t, browser, host, service, 'sentence')
    await openPanel(page, 2)
    await rowsOf(page).getByRole('link', { name: 'Unread: Sync finished. 12 records. 1 hr. ago', exact: true }).waitFor()
    const opacity = (row: number) => page.evaluate(`Number(getComputedStyle(bell.shadowRoot.querySelectorAll('.date')[${row}]).opacity)`)
    await page.mouse.move(5, 600)
    await until(async () => (await focused(page)) === 'Next', 'the focus on the first row')
    await until(async () => (await opacity(0)) === 1, 'on focus')
    t.equal(await opacity(1), 0)
    await rowsOf(page).nth(1).hover()
    await until(async () => (await opacity(1)) === 1, 'on hover')
    t.match(await page.locator('.date').nth(1).textContent(), /^\w{3} \d+, 20\d\d, \d+:\d\d/)
  })

  await t.test('renderItem and templates render rows, with the styles of the page; the rows follow changes', async (t) => {
    const page = await openBell(t, browser, host, service, 'own')
    await page.evaluate(`
      document.head.append(Object.assign(document.createElement('style'), { textContent: '.bar { color: rgb(1, 2, 3) }' }))
      bell.insertAdjacentHTML('beforeend', \`<template slot="item" data-type="sync.*, build.done">
        <b class="bar" data-text="title"></b> <span data-text="data.percent"></span> <span data-text="data.no.such"></span>
        <button type="button" onclick="globalThis.pressed = true">Press</button></template>\`)
      globalThis.calls = []
      bell.renderItem = (item, element) => {
        calls.push(item.title)
        if (item.type !== 'mine') return false
        element.textContent = 'mine: ' + item.title + ', ' + item.state
      }`)
    await send(
      'own',
      { type: 'mine', title: 'A' },
      { type: 'sync.started', title: 'B', data: { percent: 40 } },
      { type: 'else', title: 'C' }
    )
    await openPanel(page, 3)
    const [els, sync, mine] = [rowsOf(page).nth(0), rowsOf(page).nth(1), rowsOf(page).nth(2)]
    await page.getByText('mine: A, ').waitFor()
    t.equal(await page.evaluate('getComputedStyle(bell.querySelector(".bar")).color'), 'rgb(1, 2, 3)')
    t.match(await page.evaluate('bell.querySelector(":scope > div:has(.bar)").textContent'), /B\s+40\s+Press/)
    await els.getByText('C', { exact: true }).waitFor()
    t.equal(await sync.locator('.title').isVisible(), false)
    const { dot, content } = await boxes(page, { dot: '.item:last-child .dot', content: '.item:last-child .content' })
    t.equal(dot.top + dot.bottom, content.top + content.bottom, 'the dot is beside the middle of one line')

    await page.getByRole('button', { name: 'Press' }).click()
    t.equal(await page.evaluate('pressed'), true)
    t.match(await sync.getAttribute('class'), /\bunread\b/, 'a control of the app does not choose the row')
    await page.getByText('mine: A, ').click()
    await page.getByText('mine: A, read').waitFor()
    t.notMatch(await mine.getAttribute('class'), /\bunread\b/)
    await mine.getByRole('button', { name: /^Archive/ }).click()
    await until(async () => (await page.getByText('mine: A').count()) === 0, 'the content leaves with its row')
    await page.evaluate('bell.renderItem = (item, element) => void (element.textContent = "all: " + item.title)')
    for (const title of ['B', 'C']) await page.getByText(`all: ${title}`).waitFor()
    const errors: string[] = []
    page.on('pageerror', ({ message }) => errors.push(message))
    await page.evaluate('bell.renderItem = ({ title }) => { if (title === "C") throw new Error("C fails"); return false }')
    await page.locator('.item:not(.own)').getByText('C', { exact: true }).waitFor()
    await until(() => errors.length > 0, 'the error of the app')
    t.match(errors, ['C fails'])
    await page.evaluate('bell.renderItem = () => false; bell.querySelector("template").remove()')
    await untilInPage(page, 'bell.querySelectorAll(":scope > div").length === 0')
    await rowsOf(page).first().getByText('C', { exact: true }).waitFor()
  })

  await t.test('slots: header, footer and empty', async (t) => {
    const page = await openBell(t, browser, host, service, 'slots')
    await page.evaluate(
      `bell.innerHTML = '<h2 slot="header">Mine</h2><a slot="footer" href="#all">All</a><p slot="empty">Nothing here</p>'`
    )
    await page.getByRole('button', { name: 'Notifications' }).click()
    const dialog = page.getByRole('dialog', { name: 'Notifications' })
    await page.getByText('Nothing here').waitFor()
    t.equal(await dialog.getByText('All caught up').isVisible(), false)
    t.equal(await page.getByRole('heading', { name: 'Notifications' }).count(), 0)
    await page.getByRole('heading', { name: 'Mine' }).waitFor()
    await page.getByRole('link', { name: 'All' }).click()
    t.equal(await page.evaluate('location.hash'), '#all')
    await dialog.waitFor()
    await publish(service, 'slots', 'one')
    await until(async () => (await rowsOf(page).count()) === 1, 'the row')
    t.equal(await page.getByText('Nothing here').isVisible(), false)
  })
})
