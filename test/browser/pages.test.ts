import { readdirSync } from 'node:fs'
import t from 'tap'
import { ServerProcess } from '../fixtures/node-process.ts'
import { call, startService, temporaryFolder } from '../helper.ts'
import { violations } from './bell-page.ts'
import { launch, overflow, untilInPage } from './browser.ts'

t.setTimeout(300_000)

const MODES = [
  { colorScheme: 'light', forcedColors: 'none' },
  { colorScheme: 'dark', forcedColors: 'none' },
  { colorScheme: 'light', forcedColors: 'active' }
] as const

const SWAGGER_READY = 'document.querySelectorAll(".opblock").length > 10'

t.test('the pages of the documentation', async (t) => {
  const browser = await launch(t)

  for (const path of ['docs', 'docs/socket', 'docs/guide/getting-started', 'docs/guide/guides/browser-sdk']) {
    await t.test(`/${path}: axe-core finds nothing, no width scrolls sideways, the policy of the service holds`, async (t) => {
      const service = await startService(t)
      for (const mode of MODES) {
        const page = await browser.newPage({ ...mode, viewport: { width: 1440, height: 900 }, bypassCSP: true })
        await page.goto(`${service.url}/${path}`)
        if (path === 'docs') await untilInPage(page, SWAGGER_READY)
        t.same(await violations(page), [], `${mode.colorScheme}, forced colours ${mode.forcedColors}`)
        await page.close()
      }
      const page = await browser.newPage()
      t.teardown(() => page.close())
      const failures: string[] = []
      page.on('pageerror', (error) => failures.push(error.message))
      page.on('console', (message) => message.type() === 'error' && failures.push(message.text()))
      for (const width of [320, 390, 1440, 2560]) {
        await page.setViewportSize({ width, height: 900 })
        await page.goto(`${service.url}/${path}`)
        if (path === 'docs') await untilInPage(page, SWAGGER_READY)
        t.equal(await overflow(page), 0, `${width} px`)
      }
      t.same(failures, [])
      t.equal(await page.locator('meta[name="viewport"]').getAttribute('content'), 'width=device-width, initial-scale=1')
      t.equal(await page.evaluate('document.querySelector(".brand img").naturalWidth > 0'), true, 'the logo')
      t.equal(await page.getByRole('link', { name: 'Demo' }).count(), 0, 'without the demo there is no link to it')
    })
  }

  await t.test('Authorize says which token to paste, and offers those of the demo', async (t) => {
    const server = await ServerProcess.start({ LOG_LEVEL: 'silent' }, temporaryFolder(t))
    t.teardown(() => server.kill())
    const page = await browser.newPage({ bypassCSP: true })
    t.teardown(() => page.close())
    await page.goto(`http://localhost:${server.port}/docs`)
    await untilInPage(page, SWAGGER_READY)
    await page.getByRole('button', { name: 'Authorize' }).click()
    const dialog = page.getByRole('dialog', { name: 'Authorize' })
    await dialog.getByText('Paste the token of a service').waitFor()
    await dialog.getByText('npx belfry token --user alice').waitFor()
    const offers = dialog.getByRole('button', { name: /^Use the demo’s token/ })
    await offers.nth(1).waitFor()
    for (const mode of MODES) {
      await page.emulateMedia(mode)
      t.same(await violations(page), [], `${mode.colorScheme}, forced colours ${mode.forcedColors}`)
    }
    await offers.first().click()
    await dialog.getByRole('button', { name: 'Authorize', exact: true }).first().click()
    await dialog.getByRole('button', { name: 'Close' }).first().click()

    const publish = page.locator('.opblock-post', { hasText: 'Publish a notification' }).first()
    await publish.locator('.opblock-summary-control').click()
    t.same(await violations(page), [], 'an open route')
    await publish.getByRole('button', { name: 'Try it out' }).click()
    await publish.getByRole('button', { name: 'Execute' }).click()
    await publish.locator('.live-responses-table .response-col_status', { hasText: '202' }).waitFor()

    await page.getByRole('link', { name: 'Demo' }).click()
    await page.waitForURL('**/demo')
  })

  await t.test('/docs/socket shows every message of both directions and every close code', async (t) => {
    const service = await startService(t, { DEMO: 'true' })
    const page = await browser.newPage()
    t.teardown(() => page.close())
    const { body: document } = await call(service, 'GET', '/docs/asyncapi.json', undefined, { token: '' })
    await page.goto(`${service.url}/docs/socket`)
    for (const [name, { payload, examples }] of Object.entries<{ payload: { properties: object }; examples: object[] }>(
      document.components.messages
    )) {
      const section = page.locator(`section#${name}`)
      const fields = await section.locator('dt code').allTextContents()
      for (const field of Object.keys(payload.properties)) t.ok(fields.includes(field), `${name}.${field}`)
      t.equal(await section.locator('pre').count(), examples.length, name)
    }
    t.ok((await page.locator('section#hello dt code').allTextContents()).includes('heartbeat.intervalMs'))
    for (const { code, reason } of document['x-close-codes'] as { code: number; reason: string }[]) {
      await page
        .locator('dl div', { hasText: String(code) })
        .filter({ hasText: reason })
        .waitFor()
    }
    await page.getByRole('link', { name: 'caughtUp' }).click()
    t.equal(await page.evaluate('location.hash'), '#caughtUp')
    await page.getByRole('link', { name: 'API', exact: true }).click()
    await page.waitForURL('**/docs')
    t.match((await fetch(`${service.url}/docs/socket`)).headers.get('content-security-policy'), /default-src 'self'/)
    t.match(await (await fetch(`${service.url}/docs/socket`)).text(), /href="\.\.\/demo"/, 'a way back to the demo')
  })

  await t.test('/docs/guide shows every page of docs/, and each of its links leads somewhere', async (t) => {
    const service = await startService(t)
    const open = async (path: string): Promise<string[]> => {
      const reply = await fetch(`${service.url}/docs/guide/${path}`)
      t.equal(reply.status, 200, path)
      const html = await reply.text()
      t.match(html, /<h1 id=/, path)
      const text = html.replace(/<code>[\s\S]*?<\/code>/g, '')
      t.notMatch(text, /\*\*|^#|\]\(|`/m, `${path}: no markup is left`)
      return [...html.matchAll(/href="([^"#]+)(?:#([^"]+))?"/g)].map(
        ([, link = '', anchor = '']) => new URL(`${link}${anchor === '' ? '' : `#${anchor}`}`, reply.url).href
      )
    }
    const waiting = ['getting-started']
    const done = new Set<string>()
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      done.add(path)
      for (const link of await open(path)) {
        const next = /\/docs\/guide\/([^#]+)/.exec(link)?.[1]
        if (next !== undefined && !done.has(next) && !waiting.includes(next)) waiting.push(next)
      }
    }
    const files = ['guides', 'reference', 'explanation'].flatMap((folder) =>
      readdirSync(`docs/${folder}`).map((file) => `${folder}/${file}`)
    )
    t.same([...done].sort(), ['getting-started', ...files.filter((file) => file.endsWith('.md')).map((file) => file.slice(0, -3))].sort())
    t.equal((await fetch(`${service.url}/docs/guide/guides/unknown`)).status, 404)
    t.equal((await fetch(`${service.url}/docs/guide/..%2f..%2fpackage.json`)).status, 404)
  })
})
