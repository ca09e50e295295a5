import { attempt } from './attempt.ts'
import type { ClientStorage, FetchLike, WebSocketConstructor } from './types.ts'

/** The part of the Web Locks API used for elections. */
export interface Locks {
  /** Resolves when `held` has settled. Rejects with an AbortError when another request with `steal` takes the lock from its holder. */
  request(name: string, options: { steal?: boolean }, held: () => Promise<void> | undefined): Promise<unknown>
  /** Returns the locks that are held. `clientId` is the same for all locks of one tab. */
  query(): Promise<{ held?: { name?: string; clientId?: string }[] }>
}

export interface Channel {
  postMessage(message: unknown): void
  onmessage: ((event: { data: unknown }) => void) | null
  close(): void
}

/** Listeners of a page, named like the browser's events. */
export interface PageListeners {
  online(): void
  offline(): void
  visibilitychange(): void
  pagehide(): void
  pageshow(): void
  freeze(): void
  resume(): void
}

export interface Page {
  visible(): boolean
  /** Returns a function that ends it. */
  watch(listeners: PageListeners): () => void
}

/** Everything the SDK takes from where it runs: tests bring their own clock, dice and browser. */
export interface Platform {
  /** Returns Unix milliseconds. The wall clock may step. */
  now(): number
  /** Returns milliseconds of a clock that never steps, and on some systems stands still while the machine sleeps. */
  monotonic(): number
  random(): number
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  setInterval(run: () => void, ms: number): unknown
  clearInterval(timer: unknown): void
  /** Writes a warning to the console. */
  warn(message: string): void
  /** Base64 to bytes, one a character. */
  atob(base64: string): string
  WebSocket?: WebSocketConstructor | undefined
  fetch?: FetchLike | undefined
  storage?: ClientStorage | undefined
  locks?: Locks | undefined
  BroadcastChannel?: (new (name: string) => Channel) | undefined
  /** undefined outside of pages. */
  page?: Page | undefined
}

interface Target {
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

/** The globals the SDK knows of, all in one place. */
interface Globals extends Partial<Target> {
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  setInterval(run: () => void, ms: number): unknown
  clearInterval(timer: unknown): void
  performance: { now(): number }
  console: { warn(message: string): void }
  atob(base64: string): string
  fetch?: FetchLike
  WebSocket?: WebSocketConstructor
  BroadcastChannel?: new (name: string) => Channel
  navigator?: { locks?: Locks }
  document?: Target & { hidden: boolean }
  localStorage?: ClientStorage
}

/** Browsers, workers, Node 20 and later. */
export function standardPlatform(): Platform {
  const globals = globalThis as unknown as Globals
  const { document } = globals
  return {
    now: () => Date.now(),
    monotonic: () => globals.performance.now(),
    random: Math.random,
    setTimeout: globals.setTimeout.bind(globals),
    clearTimeout: globals.clearTimeout.bind(globals),
    setInterval: globals.setInterval.bind(globals),
    clearInterval: globals.clearInterval.bind(globals),
    warn: (message) => globals.console.warn(message),
    atob: globals.atob.bind(globals),
    WebSocket: globals.WebSocket,
    fetch: globals.fetch?.bind(globals),
    // Reading the property throws where the page may not keep anything.
    storage: document && attempt(() => globals.localStorage),
    locks: globals.navigator?.locks,
    BroadcastChannel: globals.BroadcastChannel,
    page: document && pageOf(globals as Target, document)
  }
}

function pageOf(window: Target, document: NonNullable<Globals['document']>): Page {
  return {
    visible: () => !document.hidden,
    watch(listeners) {
      const each = (act: 'addEventListener' | 'removeEventListener') => {
        for (const event of ['online', 'offline', 'pagehide', 'pageshow'] as const) window[act](event, listeners[event])
        for (const event of ['visibilitychange', 'freeze', 'resume'] as const) document[act](event, listeners[event])
      }
      each('addEventListener')
      return () => each('removeEventListener')
    }
  }
}
