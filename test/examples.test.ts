import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { chromium } from 'playwright-core'
import t from 'tap'
import { call, serviceToken, startService, userToken } from './helper.ts'

const EXAMPLES = join(process.cwd(), 'examples')

const chromiumArguments = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

t.test('publish.sh publishes any title', async (t) => {
  const service = await startService(t)
  const run = promisify(execFile)
  const { PATH = '' } = process.env
  const env = { PATH, URL: service.url, TOKEN: serviceToken('publish') }
  const { stdout } = await run(join(EXAMPLES, 'publish.sh'), ['alice', 'A "title" with \\ in it'], { env })
  t.match(JSON.parse(stdout), { results: [{ user: 'alice', status: 'accepted' }] })
  const inbox = await call(service, 'GET', '/v1/users/alice/notifications')
  t.match(inbox.body.items, [{ title: 'A "title" with \\ in it' }])
  t.equal(inbox.body.items.length, 1)
  const failed = async (args: string[], changes: Record<string, string>) =>
    await run(join(EXAMPLES, 'publish.sh'), args, { env: { ...env, ...changes } }).catch((error: { code: number; stdout: string }) => error)
  t.match(await failed(['alice', 'x'], { TOKEN: 'wrong' }), { code: 22, stdout: /TOKEN_INVALID/ })
  t.match(await failed(['alice'], {}), { code: 2, stdout: '' })
})

t.test('plain.html shows pending and live notifications with nothing but a WebSocket', async (t) => {
  const lines = (await readFile(join(EXAMPLES, 'plain.html'), 'utf8')).trimEnd().split('\n')
  t.ok(lines.length <= 30, `${lines.length} lines`)
  const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v chromium'])
  const browser = await chromium.launch({ executablePath: stdout.trim(), args: chromiumArguments })
  t.teardown(() => browser.close())

  const service = await startService(t)
  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Pending' })
  const page = await browser.newPage()
  const address = `${service.socketUrl}/v1/ws?token=${userToken('alice')}`
  await page.goto(`${pathToFileURL(join(EXAMPLES, 'plain.html'))}#${encodeURIComponent(address)}`)
  await page.getByText('Connected as alice: 1 pending').waitFor()
  await page.getByText(/Pending \(.*, was pending\)/).waitFor()
  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: '<b>Live</b>' })
  await page.getByText(/^<b>Live<\/b> \([^,]*\)$/).waitFor()
  t.equal(await page.locator('li').count(), 2)

  await page.goto(pathToFileURL(join(EXAMPLES, 'plain.html')).href)
  await page.reload()
  await page.locator('#url').fill(`${service.socketUrl}/v1/ws?token=wrong`)
  await page.getByRole('button').click()
  await page.getByText('Closed: 4001 token_invalid').waitFor()
})
