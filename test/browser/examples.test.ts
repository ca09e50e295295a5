import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { temporaryFolder } from '../helper.ts'
import { launch, untilInPage } from './browser.ts'

/** Lets `import 'belfry'` find this build: where the tests run, there may be none in `dist`. */
const BUILD = `import { register } from 'node:module'
const entry = ${JSON.stringify(pathToFileURL('build/index.js').href)}
register('data:text/javascript,' + encodeURIComponent(\`export const resolve = (name, context, next) =>
  name === 'belfry' ? { url: '\${entry}', shortCircuit: true } : next(name, context)\`))`

/** Starts an example on a free port. Resolves with its port. */
async function startExample(t: Test, name: string): Promise<number> {
  const { PATH = '', HOME = '' } = process.env
  const script = ['--import', `data:text/javascript,${encodeURIComponent(BUILD)}`, `examples/${name}/server.mjs`]
  const env = { PATH, HOME, PORT: '0', DATA_DIR: temporaryFolder(t) }
  const child: ChildProcess = spawn(process.execPath, script, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data) => {
      output += data
    })
  }
  t.teardown(async () => {
    child.kill('SIGTERM')
    await once(child, 'close')
  })
  const port = await until(
    () => /http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1],
    () => `the example; it wrote ${output}`,
    40_000
  )
  return Number(port)
}

/** Opens a page in a browser of its own, and signs in. */
async function signIn(t: Test, browser: Browser, url: string, name: string): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.goto(url)
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: 'Start' }).click()
  return page
}

t.setTimeout(120_000)

t.test('notes: two people type at once, one goes offline, types and comes back', async (t) => {
  const [browser, port] = await Promise.all([launch(t), startExample(t, 'notes')])
  const proxy = await TcpProxy.start(port)
  t.teardown(() => proxy.stop())
  const alice = await signIn(t, browser, `http://127.0.0.1:${port}/?note=plan`, 'Alice')
  const bob = await signIn(t, browser, `http://127.0.0.1:${proxy.port}/?note=plan`, 'Bob')
  const area = (page: Page) => page.getByLabel('Text of the note')
  const text = (page: Page): Promise<string> => area(page).inputValue()
  const agree = (...parts: string[]) =>
    until(
      async () => {
        const texts = await Promise.all([alice, bob].map(text))
        return texts[0] === texts[1] && parts.every((part) => texts[0]?.includes(part)) ? texts[0] : undefined
      },
      `both have ${parts.map((part) => part.slice(0, 20))}`,
      20_000
    )
  for (const page of [alice, bob]) await page.getByText('Saved').waitFor()
  await area(alice).fill('Agenda\n')
  await agree('Agenda')

  const type = async (page: Page, line: string): Promise<void> => {
    await page.keyboard.press('Control+End')
    await page.keyboard.type(line, { delay: 10 })
  }
  await area(alice).focus()
  await area(bob).focus()
  await Promise.all([type(alice, 'from Alice 😀 '), type(bob, 'from Bob 🎉 ')])
  const first = await agree('😀', '🎉')
  for (const letter of 'fromAliceBob') t.ok(first.includes(letter))

  proxy.refuse(true)
  await bob.getByText('Connecting…').waitFor()
  await type(bob, 'written offline')
  await bob.getByText('Offline').waitFor()
  await type(alice, 'written online')
  t.notOk((await text(alice)).includes('written offline'))
  proxy.refuse(false)
  await agree('written online', 'written offline')

  const large = 'a long text that no notification can carry. '.repeat(200)
  await alice.evaluate(`{
    const element = document.querySelector('#text')
    element.value += ${JSON.stringify(large)}
    element.dispatchEvent(new Event('input'))
  }`)
  await agree(large)
  await bob.reload()
  await bob.getByText('Saved').waitFor()
  await agree(large)
})

t.test('chat: rooms, history, and unread messages per room', async (t) => {
  const [browser, port] = await Promise.all([launch(t), startExample(t, 'chat')])
  const url = `http://127.0.0.1:${port}/`
  const alice = await signIn(t, browser, url, 'Alice')
  const bob = await signIn(t, browser, url, 'Bob')
  const room = (page: Page, name: string) => page.getByRole('navigation').getByRole('link', { name })
  const say = async (page: Page, message: string): Promise<void> => {
    await page.getByLabel('Message', { exact: true }).fill(message)
    await page.keyboard.press('Enter')
  }
  const messages = (page: Page): Promise<string[]> => page.locator('#messages li > div > p:last-child').allTextContents()
  const shows = (page: Page, ...expected: string[]) =>
    until(
      async () => String(await messages(page)) === String(expected),
      () => `the messages ${expected}, and no other`
    )
  for (const page of [alice, bob]) await room(page, 'general').and(page.locator('[aria-current]')).waitFor()

  await say(alice, 'Hello <b>Bob</b>')
  await until(async () => (await messages(bob)).length === 1, 'the message')
  await say(bob, 'Hello Alice')
  for (const page of [alice, bob]) await shows(page, 'Hello <b>Bob</b>', 'Hello Alice')

  await room(bob, 'lunch').click()
  await room(alice, 'lunch').click()
  for (const page of [alice, bob]) await page.getByText('No messages yet').waitFor()
  await room(bob, 'general').click()
  await say(alice, 'Soup?')
  await say(alice, 'At noon?')
  await untilInPage(bob, `document.querySelector('[data-room=lunch] .badge')?.textContent === '2'`)
  t.equal(await room(bob, 'lunch').locator('.badge').isVisible(), true)
  t.equal(await room(bob, 'general').locator('.badge').isVisible(), false)
  await shows(bob, 'Hello <b>Bob</b>', 'Hello Alice')

  await bob.reload()
  await untilInPage(bob, `document.querySelector('[data-room=lunch] .badge')?.textContent === '2'`)
  await room(bob, 'lunch').click()
  await shows(bob, 'Soup?', 'At noon?')
  await room(bob, 'lunch').locator('.badge').waitFor({ state: 'hidden' })
  await room(bob, 'general').click()
  await untilInPage(bob, `document.querySelector('[data-room=lunch] .badge')?.textContent === ''`)
  await say(alice, 'Or one?')
  await untilInPage(bob, `document.querySelector('[data-room=lunch] .badge')?.textContent === '1'`)
})
