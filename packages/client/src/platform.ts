import { attempt } from './attempt.ts'
import type { ClientStorage, FetchLike, WebSocketConstructor } from './types.ts'

/** The longest `setTimeout`: a longer one fires at once. */
export const TIMER_MAX_MS = 2 ** 31 - 1

export interface LockOptions {
  /** Takes the lock from the tab that holds it. */
  steal?: boolean
  /** Calls `granted` with null if the lock is held. */
  ifAvailable?: boolean
}

/** The lock is held until the returned promise settles. */
export type LockGranted = (lock: unknown) => Promise<void> | undefined

/** The part of the Web Locks API used by tabs. */
export interface Locks {
  /** Calls `granted` when this tab has the lock. Rejects with an AbortError if a request with `steal` takes the lock. */
  request(name: string, options: LockOptions, granted: LockGranted): Promise<unknown>
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
  /** Returns a function that removes the listeners. */
  watch(listeners: PageListeners): () => void
}

/** Everything that the SDK needs from its runtime. Tests give their own clock, random numbers and browser. */
export interface Platform {
  /** Returns Unix milliseconds. The wall clock may step. */
  now(): number
  /** Returns milliseconds of a clock that never steps. On some systems it stops while the machine sleeps. */
  monotonic(): number
  random(): number
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  setInterval(run: () => void, ms: number): unknown
  clearInterval(timer: unknown): void
  /** Writes a warning to the console. */
  warn(message: string): void
  /** Decodes Base64 into a string with one character per byte. */
  atob(base64: string): string
  WebSocket?: WebSocketConstructor | undefined
  fetch?: FetchLike | undefined
  storage?: ClientStorage | undefined
  locks?: Locks | undefined
  BroadcastChannel?: (new (name: string) => Channel) | undefined
  /** Undefined outside of pages. */
  page?: Page | undefined
}

interface Target {
  addEventListener(type: string, listener: () => void, capture: boolean): void
  removeEventListener(type: string, listener: () => void, capture: boolean): void
}

/** The only globals that the SDK uses. */
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
  document?: { hidden: boolean }
  localStorage?: ClientStorage
}

/** Returns an id with about 100 random bits, which distinguishes devices and tabs. */
export function randomId({ random }: Platform): string {
  const part = () => random().toString(36).slice(2)
  return part() + part()
}

/** Returns the platform of browsers, workers, and Node 20 and later. */
export function standardPlatform(): Platform {
  const globals = globalThis as unknown as Globals
  const { document } = globals
  return {
    now: Date.now,
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
    // Reading the property throws in pages that may not store anything.
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
      // Three of the events are fired at the document. A capturing listener of the window gets them as well.
      const forEach = (act: 'addEventListener' | 'removeEventListener') => {
        for (const [event, listener] of Object.entries(listeners)) window[act](event, listener, true)
      }
      forEach('addEventListener')
      return () => forEach('removeEventListener')
    }
  }
}
