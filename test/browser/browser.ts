import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build } from 'esbuild'
import { type Browser, chromium, type Frame, firefox, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { until } from '../fixtures/wait.ts'
import { userToken } from '../helper.ts'

const DEADLINE_MS = 20_000

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

const CLIENT = fileURLToPath(new URL('../../demo/client/', import.meta.url))
const PAGES = 'test/browser/pages'

const TYPES: Record<string, string> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8' }

/** Settings of a profile that has a mouse and little motion, as headless Chromium has. https://searchfox.org/mozilla-central/source/widget/LookAndFeel.h */
const FIREFOX_SETTINGS = { 'ui.primaryPointerCapabilities': 6, 'ui.allPointerCapabilities': 6, 'ui.prefersReducedMotion': 1 }

/**
 * Starts the system's Firefox ESR, headless. Its colour scheme is that of the profile: `TEST_BROWSER=firefox-dark` starts a dark one. Colour schemes and
 * forced colours that a page is opened with have no effect.
 */
export async function launchFirefox(settings: Record<string, string | number | boolean> = {}): Promise<Browser> {
  const isDark = process.env.TEST_BROWSER === 'firefox-dark'
  return await firefox.launch({
    channel: 'moz-firefox',
    executablePath: 'test/browser/firefox-relay.mjs',
    firefoxUserPrefs: { ...FIREFOX_SETTINGS, 'ui.systemUsesDarkTheme': Number(isDark), ...settings }
  })
}

function launchChromium(backForwardCache: boolean): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ARGS,
    ignoreDefaultArgs: backForwardCache ? ['--disable-back-forward-cache'] : []
  })
}

/**
 * Starts a browser of the system, headless, until the end of the test: Chromium, or what the environment variable `TEST_BROWSER` names.
 * `backForwardCache` turns that cache on, as in a user's Chromium; the driver turns it off.
 */
export async function launch(t: Test, { backForwardCache = false } = {}): Promise<Browser> {
  const browser = process.env.TEST_BROWSER?.startsWith('firefox') ? await launchFirefox() : await launchChromium(backForwardCache)
  t.teardown(() => browser.close())
  return browser
}

export interface Host {
  /** `http://127.0.0.1:<port>`, another origin than the service's. */
  url: string
  /** Returns tokens; a test may replace it. */
  token: (user: string) => string
  /** Files made for the test, by path. */
  files: Map<string, string>
  /** Called if a page requests `/hold`, which gets no answer; a test may replace it. */
  held: () => void
}

/** The server of an app. It serves the pages beside this file, the built client to pages of any origin, and tokens. */
export async function startHost(t: Test): Promise<Host> {
  const host: Host = {
    url: '',
    token: (user) => userToken(user),
    files: new Map(),
    held: () => {}
  }
  const answer = async (request: IncomingMessage): Promise<{ type: string; body: string | Buffer }> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://host')
    if (pathname === '/token') return { type: 'text/plain', body: host.token(searchParams.get('user') ?? '') }
    const type = TYPES[extname(pathname)] ?? 'text/plain'
    const made = host.files.get(pathname)
    if (made !== undefined) return { type, body: made }
    return { type, body: await readFile(pathname.startsWith('/client/') ? join(CLIENT, pathname.slice(8)) : join(PAGES, pathname)) }
  }
  const server = createServer((request, response) => {
    if (request.url === '/hold') return host.held()
    answer(request).then(
      ({ type, body }) => {
        // The back/forward cache takes no page with `no-store`.
        const caching = type.startsWith('text/html') ? 'no-cache' : 'no-store'
        response.writeHead(200, { 'content-type': type, 'cache-control': caching, 'access-control-allow-origin': '*' }).end(body)
      },
      () => response.writeHead(404).end()
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  host.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return host
}

/**
 * Waits until an expression is true in the page. Every look is an evaluation of its own: a wait in the page would need `eval`, which the policy of
 * the service forbids, and frames, which a page in the background does not paint.
 */
export async function untilInPage(page: Page | Frame, expression: string): Promise<void> {
  const look = (): Promise<boolean> => page.evaluate<boolean>(`Boolean(${expression})`)
  // While a page loads, an evaluation fails.
  await until(() => look().catch(() => false), expression, DEADLINE_MS)
}

/** True if no animation of the document or of a shadow root in it runs, except endless ones. */
export const IS_STILL = `[document, ...[...document.querySelectorAll('*')].map(({ shadowRoot }) => shadowRoot).filter(Boolean)]
  .flatMap((root) => root.getAnimations())
  .every(({ effect, playState }) => playState !== 'running' || effect.getComputedTiming().endTime === Infinity)`

/**
 * Evaluates an expression in one task, when no animation runs and two more frames were painted: the page has then placed everything after the last
 * change, such as another size of the window. Measures that are compared must come from one call: the page can move between two.
 */
export function measure<T>(page: Page, expression: string): Promise<T> {
  const frame = 'await new Promise(requestAnimationFrame)'
  return page.evaluate<T>(`(async () => {
    do { ${frame}; ${frame} } while (!${IS_STILL})
    return ${expression}
  })()`)
}

export interface Box {
  left: number
  right: number
  top: number
  bottom: number
}

/** Measures the first element of each selector, in the bell's shadow tree unless another root is given. */
export function boxes<K extends string>(
  page: Page,
  selectors: Record<K, string>,
  root = 'document.querySelector("belfry-bell").shadowRoot'
): Promise<Record<K, Box>> {
  return measure(
    page,
    `Object.fromEntries(Object.entries(${JSON.stringify(selectors)})
      .map(([name, selector]) => [name, ${root}.querySelector(selector).getBoundingClientRect().toJSON()]))`
  )
}

/** Returns the number of pixels by which the page is wider than its window. */
export function overflow(page: Page): Promise<number> {
  return measure(page, 'document.documentElement.scrollWidth - document.documentElement.clientWidth')
}

/** Returns the number of an option such as `--name=5` of the command line. */
export function argument(name: string, defaultValue: number): number {
  const given = process.argv.find((entry) => entry.startsWith(`--${name}=`))
  return given === undefined ? defaultValue : Number(given.slice(name.length + 3))
}

/** Returns the script of pages/react-app.jsx, with the hooks as they are built. */
export function bundleReactApp(): Promise<string> {
  return bundleApp({ entryPoints: ['test/browser/pages/react-app.jsx'] })
}

/** Returns the script of an app, with the entries of the package as they are built. */
export async function bundleApp(options: BuildOptions): Promise<string> {
  const entry = (name: string) => [`@belfry/client${name && `/${name}`}`, `./packages/client/dist/${name || 'index'}.js`]
  const { outputFiles } = await build({
    alias: Object.fromEntries(['bell', 'react', ''].map(entry)),
    bundle: true,
    write: false,
    format: 'esm',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"development"' },
    ...options
  })
  return outputFiles?.[0]?.text ?? ''
}
