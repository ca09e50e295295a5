import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import { until } from '../fixtures/wait.ts'
import { temporaryFolder } from '../helper.ts'

const BUILD = fileURLToPath(new URL('../../', import.meta.url))

/** The longest wait for a number of the page: a burst of 50 takes 5 s. */
const NUMBER_MS = 40_000

/** Starts a program that prints the address of its demo. Resolves with that address. */
async function startProgram(t: Test, script: string, args: string[], env: Record<string, string>): Promise<string> {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [script, ...args], { env: { PATH, HOME, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  let printed = ''
  child.stdout.on('data', (data) => {
    printed += data
  })
  return until(() => /Demo: (\S+)\n/.exec(printed)?.[1], 'the address of the demo', 40_000)
}

/** Starts the process as `npm start` does, with a generated secret. Resolves with the address of its demo. */
export const startProcess = (t: Test, more: Record<string, string> = {}): Promise<string> =>
  startProgram(t, `${BUILD}server.js`, [], { PORT: '0', DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'fatal', ...more })

/** Starts `npm run demo:cluster` on a free port. Resolves with the address of its demo. */
export const startCluster = (t: Test): Promise<string> => startProgram(t, 'scripts/demo-cluster.mjs', [BUILD], { PORT: '0' })

/** Properties of a context for the demo. The tests of axe add a script, which the policy of the page would refuse. */
export const CONTEXT = { viewport: { width: 1440, height: 900 }, bypassCSP: true }

/** Opens the demo at 1440 x 900 and waits until its four screens listen. `failures` collects the errors of the page and its screens. */
export async function openDemo(t: Test, browser: Browser | BrowserContext, url: string): Promise<{ page: Page; failures: string[] }> {
  const page = await ('contexts' in browser ? browser.newPage(CONTEXT) : browser.newPage())
  t.teardown(() => page.close())
  const failures: string[] = []
  page.on('pageerror', (error) => failures.push(error.message))
  page.on('console', (message) => message.type() === 'error' && failures.push(message.text()))
  await page.goto(url)
  await number(page, 'send', /^4 screens are listening$/)
  return { page, failures }
}

/** Waits until the number of a claim matches, and returns the match. */
export async function number(page: Page, claim: string, pattern: RegExp): Promise<RegExpExecArray> {
  const read = async () => (await page.locator(`#${claim}-number`).textContent()) ?? ''
  let last = ''
  return until(
    async () => {
      last = await read()
      return pattern.exec(last) ?? undefined
    },
    () => `${pattern} as the number of ${claim}; it is ${last}`,
    NUMBER_MS
  )
}

/** Returns the frame of a screen. */
export const screenOf = (page: Page, name: string) => page.frameLocator(`iframe[title="${name}"]`)
