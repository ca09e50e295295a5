import type { CaughtUpFrame, ErrorFrame, GapFrame, MarkFrame, OkFrame, RowFrame } from '../../../services/protocol/index.ts'
import type { Channel, Locks, Platform } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'
import type { ConnectionState, NotificationContext, TerminalContext } from './types.ts'

/** The lease of a leader that has not told its own: 1.6 of the service's default heartbeats. */
const LEASE_MS = 40_000
/** A leader that runs answers within this time. */
const ANSWER_MS = 2000
/** Followers take the lock one after the other rather than together. */
const SPREAD_MS = 500
/** A timer this late means that this tab itself did not run, and that the answer may wait in a queue. */
const LATE_MS = 1000
/** A leader that did not run for this long, less than `ANSWER_MS`, may have lost the lock. */
const STALL_MS = 1500

/**
 * A message between tabs of one user. `from` and `to` are tab ids; `toast` is the tab that raises it, '' for none; `wake` says that the
 * connection may have died unnoticed.
 */
export type TabMessage =
  | { type: 'here'; from: string; visible: boolean; ask: boolean; wake: boolean }
  | { type: 'status'; from: string; state: ConnectionState; unread: number; last: string; leaseMs: number }
  | { type: 'row'; frame: RowFrame | GapFrame | CaughtUpFrame; unread: number; toast: string }
  | { type: 'toast'; to: string; ctxs: NotificationContext[] }
  | { type: 'toasted'; ids: string[] }
  | { type: 'call'; from: string; frame: MarkFrame }
  | { type: 'answer'; to: string; frame: OkFrame | ErrorFrame }
  | { type: 'terminal'; ctx: TerminalContext }

export interface TabsHost {
  message(message: TabMessage): void
  /** Called in the leader: a tab closed, crashed, or did not run while it led. */
  lost(tab: string): void
  /** Called when another tab has taken the lead. */
  ousted(): void
}

/**
 * The tabs of one browser. The tab that holds the lock leads; the browser gives the lock to the next when its holder closes or crashes.
 *
 * A holder may be there and not run: in a dialog, in a debugger, in a long computation. So leading is a lease. The leader tells its status
 * at each heartbeat. A follower that misses it asks, and without an answer takes the lock. A leader that did not run for a while asks the
 * browser who holds the lock before it acts.
 *
 * Each tab holds a lock of its own too, which tells the leader of its end.
 */
export class Tabs {
  readonly id: string
  /** Whether this tab holds the connection. */
  leading = false
  /** Set for good: another takes its place. */
  left = false
  readonly #platform: Platform
  readonly #locks: Locks
  readonly #name: string
  readonly #host: TabsHost
  readonly #channel: Channel
  /** Whether each of the other tabs is visible. */
  readonly #others = new Map<string, boolean>()
  #leader = ''
  #leaseMs = LEASE_MS
  readonly #heard: Stopwatch
  readonly #ran: Stopwatch
  #asking: unknown
  #queued = false
  #stealing = false
  #led = (): void => {}
  #checking: Promise<void> | undefined
  #release = (): void => {}
  /** Locks are held until it resolves. */
  readonly #end = new Promise<void>((resolve) => {
    this.#release = resolve
  })

  constructor(platform: Platform, locks: Locks, channel: Channel, name: string, id: string, host: TabsHost) {
    this.#platform = platform
    this.#locks = locks
    this.#name = name
    this.#host = host
    this.id = id
    this.#channel = channel
    this.#heard = new Stopwatch(platform)
    this.#ran = new Stopwatch(platform)
    channel.onmessage = ({ data }) => this.guard(() => this.#receive(data as TabMessage))
    const hold = (): Promise<void> => {
      this.announce(true)
      return this.#end
    }
    this.#request(this.#lockOf(id), {}, hold).catch(hold)
  }

  /** Resolves when this tab leads; where locks are refused, at once. */
  lead(): Promise<void> {
    return new Promise((resolve) => {
      this.#led = resolve
      if (!this.#queued) this.#acquire(false)
      this.#queued = true
    })
  }

  /** Takes the lock from the tab that holds it. */
  takeOver(): void {
    if (this.leading || this.left || this.#stealing) return
    this.#stealing = true
    this.#acquire(true)
  }

  /** Says whether this tab is visible, and asks the leader for its status and the others whether they are visible when `ask`. */
  announce(ask = false, wake = false): void {
    if (this.left) return
    this.post({ type: 'here', from: this.id, visible: this.#visible, ask, wake })
    if (!this.leading) this.#expectAnswer()
  }

  /** Called every 2 s: asks when the lease of the leader is over. */
  tick(): void {
    if (!this.leading && this.#heard.runMs > this.#leaseMs) this.announce()
  }

  post(message: TabMessage): void {
    if (!this.left) this.#channel.postMessage(message)
  }

  /** Returns the tab to raise a toast: this one when it is visible, else one that is, else this one. */
  toaster(): string {
    if (this.#visible) return this.id
    for (const [tab, visible] of this.#others) if (visible) return tab
    return this.id
  }

  /** Lets another tab lead. */
  leave(): void {
    this.left = true
    this.leading = false
    this.#answered()
    this.#channel.close()
    this.#release()
  }

  /** Runs it: in a leader that did not run for a while, after the browser told who leads. */
  guard(run: () => void): void {
    const checked = this.check()
    if (checked) checked.then(run)
    else run()
  }

  /** Returns a promise for the end of the check that this tab still leads; undefined when none is needed. */
  check(): Promise<void> | undefined {
    if (this.leading && this.#ran.runMs > STALL_MS)
      this.#checking ??= this.#confirm().then(() => {
        this.#checking = undefined
      })
    this.#ran.restart()
    return this.#checking
  }

  async #confirm(): Promise<void> {
    try {
      const { held = [] } = await this.#locks.query()
      const holderOf = (name: string) => held.find((lock) => lock.name === name)?.clientId
      if (holderOf(this.#name) !== holderOf(this.#lockOf(this.id))) this.#oust()
    } catch {
      // Where locks are refused each tab leads.
    }
  }

  get #visible(): boolean {
    return this.#platform.page?.visible() === true
  }

  #receive(message: TabMessage): void {
    if (this.left) return
    const { type } = message
    if (type === 'here') {
      const known = this.#others.has(message.from)
      this.#others.set(message.from, message.visible)
      if (this.leading && !known) this.#watch(message.from)
      if (message.ask) this.announce()
    } else if (type !== 'call' && type !== 'toasted') {
      // Only leaders send these.
      this.#answered()
      if (type === 'status') {
        this.#leader = message.from
        this.#leaseMs = message.leaseMs
      }
    }
    this.#host.message(message)
  }

  #answered(): void {
    this.#heard.restart()
    this.#platform.clearTimeout(this.#asking)
    this.#asking = undefined
  }

  #expectAnswer(late = false): void {
    const waited = new Stopwatch(this.#platform)
    const waitMs = ANSWER_MS + this.#platform.random() * SPREAD_MS
    this.#asking ??= this.#platform.setTimeout(() => {
      this.#asking = undefined
      if (waited.elapsedMs < waitMs + LATE_MS || late) return this.takeOver()
      this.#expectAnswer(true)
      this.announce()
    }, waitMs)
  }

  #watch(tab: string): void {
    const lost = (): undefined => {
      this.#others.delete(tab)
      if (this.leading) this.#host.lost(tab)
    }
    this.#request(this.#lockOf(tab), {}, lost).catch(() => {})
  }

  #acquire(steal: boolean): void {
    let held = false
    const hold = (): Promise<void> | undefined => {
      if (steal) this.#stealing = false
      else this.#queued = false
      if (this.left || this.leading) return undefined
      held = true
      this.leading = true
      this.#answered()
      if (steal) this.#others.delete(this.#leader)
      for (const tab of this.#others.keys()) this.#watch(tab)
      this.#led()
      if (steal) this.#host.lost(this.#leader)
      return this.#end
    }
    // A lock that was held was stolen; a lock that was not is refused.
    this.#request(this.#name, { steal }, hold).catch(() => (held ? this.#oust() : hold()))
  }

  #oust(): void {
    if (!this.leading) return
    this.leading = false
    this.#host.ousted()
    this.announce()
  }

  async #request(name: string, options: { steal?: boolean }, held: () => Promise<void> | undefined): Promise<unknown> {
    return this.#locks.request(name, options, held)
  }

  #lockOf(tab: string): string {
    return `${this.#name}:${tab}`
  }
}
