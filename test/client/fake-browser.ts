import { WebSocket } from 'ws'
import { Client } from '../../packages/client/src/client.ts'
import type { Channel, LockGranted, LockOptions, Locks, Platform } from '../../packages/client/src/platform.ts'
import type { BelfryEvents, BelfryOptions, EventName } from '../../packages/client/src/types.ts'
import { FakePage, FakeStorage, tokenOf } from './fake-platform.ts'

interface Waiting {
  tab: Tab
  held: LockGranted
  done: (result: unknown) => void
  fail: (error: Error) => void
}

/** Sources of a tab's events, in the order in which a tab gets its backlog after a pause. The loss of a lock is the last. */
const SOURCES = ['socket', 'timer', 'channel', 'lock'] as const

type Source = (typeof SOURCES)[number]

/** The things that tabs of one origin share: storage, channels, and locks, which the next tab gets when a tab ends. */
export class FakeBrowser {
  readonly storage = new FakeStorage()
  readonly channels = new Map<string, Set<FakeChannel>>()
  /** If a list is given, tabs hear of the loss of a lock when the test calls its functions. */
  losses: (() => void)[] | undefined
  readonly #locks = new Map<string, { holder: Waiting | undefined; queue: Waiting[] }>()

  tab(url: string, options: Partial<BelfryOptions> = {}): Tab {
    return new Tab(this, url, options)
  }

  request(tab: Tab, name: string, { steal, ifAvailable }: LockOptions, held: LockGranted): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // The code of a tab that has ended goes on in a test.
      if (tab.hasEnded) return
      const lock = this.#locks.get(name) ?? { holder: undefined, queue: [] }
      if (ifAvailable === true && lock.holder !== undefined) {
        setImmediate(() => tab.enter('lock', () => resolve(held(null))))
        return
      }
      this.#locks.set(name, lock)
      const waiting = { tab, held, done: resolve, fail: (error: Error) => tab.enter('lock', () => reject(error)) }
      if (steal === true) {
        const loser = lock.holder
        const lose = (): void => loser?.fail(new DOMException('stolen', 'AbortError'))
        if (this.losses) this.losses.push(lose)
        else lose()
        lock.holder = undefined
        lock.queue.unshift(waiting)
      } else lock.queue.push(waiting)
      this.#grant(name)
    })
  }

  async query(): Promise<{ held: { name: string; clientId: string }[] }> {
    return { held: [...this.#locks].flatMap(([name, { holder }]) => (holder ? [{ name, clientId: holder.tab.name }] : [])) }
  }

  /** Releases the locks of a tab that has ended, as the browser does. */
  release(tab: Tab): void {
    for (const [name, lock] of this.#locks) {
      lock.queue = lock.queue.filter((waiting) => waiting.tab !== tab)
      if (lock.holder?.tab !== tab) continue
      lock.holder = undefined
      this.#grant(name)
    }
  }

  #grant(name: string): void {
    const lock = this.#locks.get(name)
    if (lock === undefined || lock.holder !== undefined) return
    const next = lock.queue.shift()
    if (next === undefined) return
    lock.holder = next
    const run = async () => {
      if (lock.holder !== next) return
      const result = await next.held(lock)
      if (lock.holder !== next) return
      lock.holder = undefined
      next.done(result)
      this.#grant(name)
    }
    setImmediate(() => next.tab.enter('lock', run))
  }
}

let tabCount = 0

class FakeChannel implements Channel {
  onmessage: Channel['onmessage'] = null
  readonly tab: Tab
  readonly #peers: Set<FakeChannel>

  constructor(tab: Tab, name: string) {
    this.tab = tab
    this.#peers = tab.browser.channels.get(name) ?? new Set()
    tab.browser.channels.set(name, this.#peers.add(this))
    tab.channels.push(this)
  }

  postMessage(message: unknown): void {
    if (this.tab.hasEnded) return
    for (const peer of this.#peers) {
      const data = structuredClone(message)
      if (peer !== this) setImmediate(() => peer.tab.enter('channel', () => this.#peers.has(peer) && peer.onmessage?.({ data })))
    }
  }

  close(): void {
    this.#peers.delete(this)
  }
}

/** One page: its own client on real timers and real sockets. */
export class Tab {
  readonly page = new FakePage()
  readonly browser: FakeBrowser
  readonly channels: FakeChannel[] = []
  readonly client: Client
  readonly events: { event: EventName; ctx: unknown }[] = []
  /** The browser's id of the tab. */
  readonly name = `tab-${tabCount++}`
  hasEnded = false
  #backlog: { source: Source; run: () => void }[] | undefined
  readonly #sockets: WebSocket[] = []
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(browser: FakeBrowser, url: string, options: Partial<BelfryOptions>) {
    this.browser = browser
    this.page.seen = false
    const { storage } = browser
    const guarded = {
      getItem: (key: string) => storage.getItem(key),
      setItem: (key: string, value: string) => this.#alive(() => storage.setItem(key, value))
    }
    this.client = new Client(url, { getToken: () => tokenOf('alice'), deviceId: 'd1', storage: guarded, ...options }, this.#platform())
    const names: EventName[] = [
      'state',
      'user',
      'notification',
      'toast',
      'marked',
      'retract',
      'answered',
      'unread',
      'gap',
      'caughtUp',
      'terminal',
      'error'
    ]
    for (const event of names) this.client.on(event, (ctx) => this.#alive(() => this.events.push({ event, ctx })))
  }

  heard<E extends EventName>(name: E): BelfryEvents[E][] {
    return this.events.filter(({ event }) => event === name).map(({ ctx }) => ctx as BelfryEvents[E])
  }

  /** Ends the tab without any event, like a killed process. */
  crash(): void {
    this.hasEnded = true
    for (const socket of this.#sockets) socket.terminate()
    for (const timer of this.#timers) clearTimeout(timer)
    for (const channel of this.channels) channel.close()
    this.browser.release(this)
  }

  /** Stops the tab, as a debugger or a dialog does. */
  pause(): void {
    this.#backlog = []
  }

  /** Resumes the tab, which then gets the events of its pause. */
  unpause(): void {
    const backlog = this.#backlog ?? []
    this.#backlog = undefined
    for (const source of SOURCES) for (const entry of backlog) if (entry.source === source) entry.run()
  }

  /** Calls `run` as the browser does: later if the tab is paused. */
  enter(source: Source, run: () => void): void {
    if (this.#backlog) this.#backlog.push({ source, run })
    else run()
  }

  #alive(act: () => unknown): void {
    if (!this.hasEnded) act()
  }

  #platform(): Platform {
    const tab = this
    const locks: Locks = {
      request: (name, options, held) => this.browser.request(this, name, options, held),
      query: () => this.browser.query()
    }
    return {
      now: Date.now,
      monotonic: () => performance.now(),
      random: Math.random,
      setTimeout: (run, ms) => {
        const timer = setTimeout(() => {
          this.#timers.delete(timer)
          this.enter('timer', () => this.#alive(run))
        }, ms)
        this.#timers.add(timer)
        return timer
      },
      clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
      setInterval: (run, ms) => {
        const timer = setInterval(() => this.enter('timer', () => this.#alive(run)), ms)
        this.#timers.add(timer)
        return timer
      },
      clearInterval: (timer) => clearInterval(timer as NodeJS.Timeout),
      warn: () => {},
      atob,
      fetch,
      page: this.page,
      locks,
      BroadcastChannel: class extends FakeChannel {
        constructor(name: string) {
          super(tab, name)
        }
      },
      WebSocket: class extends WebSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols)
          tab.#sockets.push(this)
        }

        // biome-ignore lint/suspicious/noExplicitAny: the listener's own types do not matter here
        override addEventListener(type: any, listener: (event: any) => void): void {
          super.addEventListener(type, (event: unknown) => tab.enter('socket', () => listener(event)))
        }
      }
    }
  }
}
