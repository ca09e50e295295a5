import { attempt } from './attempt.ts'
import type { ClientStorage, FetchLike, WebSocketConstructor } from './types.ts'

/** The part of the Web Locks API used for elections. */
export interface Locks {
  request(name: string, held: () => Promise<void> | undefined): Promise<unknown>
}

export interface Channel {
  postMessage(message: unknown): void
  onmessage: ((event: { data: unknown }) => void) | null
  close(): void
}

export interface PageListeners {
  /** The network is back. */
  online(): void
  visibilitychange(): void
  /** The page goes away. */
  pagehide(): void
}

export interface Page {
  visible(): boolean
  /** Returns a function that ends it. */
  watch(listeners: PageListeners): () => void
}

/** Everything the SDK takes from where it runs: tests bring their own clock, dice and browser. */
export interface Platform {
  /** Unix milliseconds. */
  now(): number
  random(): number
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
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
    now: Date.now,
    random: Math.random,
    setTimeout: globals.setTimeout.bind(globals),
    clearTimeout: globals.clearTimeout.bind(globals),
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
        window[act]('online', listeners.online)
        window[act]('pagehide', listeners.pagehide)
        document[act]('visibilitychange', listeners.visibilitychange)
      }
      each('addEventListener')
      return () => each('removeEventListener')
    }
  }
}
