import type { CaughtUpFrame, GapFrame, RowFrame } from '../../../services/protocol/index.ts'
import type { AnswerMessage } from './calls.ts'
import type { UserFrame } from './marks.ts'
import type { Channel, LockGranted, LockOptions, Locks, Platform } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'
import type { Arrival, ConnectionState, Counts, TerminalContext } from './types.ts'

/** The lease of a leader until its first status says another: 1.6 of the service's default heartbeats. */
const LEASE_MS = 40_000
/** A leader that runs answers within this time. */
const ANSWER_MS = 2000
/** A random part of the wait for an answer, so that followers do not take the lock all together. */
const SPREAD_MS = 500
/** If a timer is this late, this tab itself did not run, and the answer may be in its queue. */
const LATE_MS = 1000
/** The claims of this many calls are held: the service sends no more rows than that without an acknowledgement, so that the position behind older ones is stored. */
const MAX_CLAIMS = 100
/** A leader that did not run for this long, less than `ANSWER_MS`, may have lost the lock. */
const STALL_MS = 1500

/**
 * A message between the tabs of one user. `from` and `to` are tab ids. `toast` is the id of the tab that raises the toast, '' for none.
 * `wake`: the connection may have died unnoticed. `ask`: the other tabs answer with their own `here`.
 */
export type TabMessage =
  | { type: 'here'; from: string; visible: boolean; ask: boolean; wake: boolean }
  | ({ type: 'status'; from: string; state: ConnectionState; last: string; leaseMs: number; serverTime: number } & Counts)
  | ({ type: 'row'; frame: RowFrame | GapFrame | CaughtUpFrame; toast: string } & Counts)
  | { type: 'toast'; to: string; ctxs: Arrival[] }
  | { type: 'toasted'; ids: string[] }
  | { type: 'call'; from: string; frame: UserFrame }
  | AnswerMessage
  | { type: 'terminal'; ctx: TerminalContext }

interface TabsHost {
  message(message: TabMessage): void
  /** Called in the leader: a tab closed, crashed, or did not run while it led. */
  tabEnded(tab: string): void
  /** Another tab has taken the lead from this one. */
  demoted(): void
}

/**
 * The tabs of one browser and their leader election. The tab that holds the lock leads. When it closes or crashes, the browser gives the
 * lock to the next tab in line.
 *
 * A leader may hold the lock and not run: in a dialog, in a debugger, in a long computation. Therefore leading is a lease. The leader sends
 * its status at each heartbeat of the service. A follower that misses the status asks for it, and without an answer takes the lock. A leader
 * that did not run for a while asks the browser who holds the lock before it acts.
 *
 * Each tab also holds a lock of its own. The leader waits for these locks: it gets one when the tab of that lock has ended.
 */
export class Tabs {
  readonly id: string
  /** This tab holds the connection. */
  isLeader = false
  /** Never false again: a tab that comes back is another `Tabs`. */
  hasLeft = false
  readonly #platform: Platform
  readonly #locks: Locks
  readonly #name: string
  readonly #host: TabsHost
  readonly #channel: Channel
  readonly #isVisibleByTab = new Map<string, boolean>()
  #leader = ''
  #leaseMs = LEASE_MS
  readonly #sinceLeader: Stopwatch
  readonly #sinceRun: Stopwatch
  #answerTimer: unknown
  /** The requests for the lock that wait, with and without `steal`. */
  readonly #requested = new Set<boolean>()
  #onLead = (): void => {}
  #checking: Promise<void> | undefined
  /** Functions that release locks: those of the election, then the claims of one call each, the oldest first. */
  readonly #releases: (() => void)[] = []
  /** This tab holds the locks of the election until the promise resolves. */
  readonly #end = new Promise<void>((resolve) => this.#releases.push(resolve))

  constructor(platform: Platform, locks: Locks, channel: Channel, name: string, id: string, host: TabsHost) {
    this.#platform = platform
    this.#locks = locks
    this.#name = name
    this.#host = host
    this.id = id
    this.#channel = channel
    this.#sinceLeader = new Stopwatch(platform)
    this.#sinceRun = new Stopwatch(platform)
    channel.onmessage = ({ data }) => this.guard(() => this.#receive(data as TabMessage))
    const hold = (): Promise<void> => {
      this.announce(true)
      return this.#end
    }
    this.#request(this.#lockOf(id), {}, hold).catch(hold)
  }

  /** Resolves when this tab leads. If the browser refuses locks, that is at once. */
  lead(): Promise<void> {
    return new Promise((resolve) => {
      this.#onLead = resolve
      this.#acquire(false)
    })
  }

  /** Takes the lock from the tab that holds it. */
  takeOver(): void {
    if (!this.isLeader && !this.hasLeft) this.#acquire(true)
  }

  /** Tells the other tabs whether this one is visible. The leader answers with its status, and with `ask` every tab with its own `here`. */
  announce(ask = false, wake = false): void {
    if (this.hasLeft) return
    this.post({ type: 'here', from: this.id, visible: this.#isVisible, ask, wake })
    if (!this.isLeader) this.#expectAnswer()
  }

  /** Asks for the leader's status if its lease has expired. Called every 2 s. */
  tick(): void {
    if (!this.isLeader && this.#sinceLeader.runMs > this.#leaseMs) this.announce()
  }

  post(message: TabMessage): void {
    if (!this.hasLeft) this.#channel.postMessage(message)
  }

  /** Returns the tab that raises a toast: this one if it is visible, else another visible one, else this one. */
  toaster(): string {
    if (this.#isVisible) return this.id
    for (const [tab, isVisible] of this.#isVisibleByTab) if (isVisible) return tab
    return this.id
  }

  /**
   * Claims toasts for this tab. Resolves with a list that has true for each id that another tab has claimed. A claim is a lock: the browser
   * gives it to one tab, also while two tabs lead, and keeps it while the tab does not run.
   */
  claim(ids: string[]): Promise<boolean[]> {
    const end = new Promise<void>((resolve) => {
      if (this.#releases.push(resolve) > MAX_CLAIMS) this.#releases.splice(1, 1)[0]?.()
    })
    const claim = (id: string) =>
      new Promise<boolean>((resolve) => {
        const hold = (lock: unknown): Promise<void> => {
          resolve(!lock || this.hasLeft)
          return end
        }
        this.#request(this.#lockOf(id), { ifAvailable: true }, hold).catch(() => resolve(false))
      })
    return Promise.all(ids.map(claim))
  }

  /** Leaves the election and releases the locks. */
  leave(): void {
    this.hasLeft = true
    this.isLeader = false
    this.#heardLeader()
    this.#channel.close()
    for (const release of this.#releases) release()
  }

  /** Calls `run`: at once, or in a leader that did not run for a while after `check()`. */
  guard(run: () => void): void {
    const checked = this.check()
    if (checked) checked.then(run)
    else run()
  }

  /** Asks the browser whether this tab still leads. Returns undefined if there is no doubt. */
  check(): Promise<void> | undefined {
    if (this.isLeader && this.#sinceRun.runMs > STALL_MS) this.#checking ??= this.#confirm()
    this.#sinceRun.restart()
    return this.#checking
  }

  async #confirm(): Promise<void> {
    try {
      const { held = [] } = await this.#locks.query()
      const holderOf = (name: string) => held.find((lock) => lock.name === name)?.clientId
      if (holderOf(this.#name) !== holderOf(this.#lockOf(this.id))) this.#demote()
    } catch {
      // If the browser refuses locks, each tab leads.
    }
    this.#checking = undefined
  }

  get #isVisible(): boolean {
    return !!this.#platform.page?.visible()
  }

  #receive(message: TabMessage): void {
    if (this.hasLeft) return
    const { type } = message
    if (type === 'here') {
      const known = this.#isVisibleByTab.has(message.from)
      this.#isVisibleByTab.set(message.from, message.visible)
      if (this.isLeader && !known) this.#watch(message.from)
      if (message.ask) this.announce()
    } else if (type !== 'call' && type !== 'toasted') {
      // Only leaders send these.
      this.#heardLeader()
      if (type === 'status') {
        this.#leader = message.from
        this.#leaseMs = message.leaseMs
      }
    }
    this.#host.message(message)
  }

  #heardLeader(): void {
    this.#sinceLeader.restart()
    this.#platform.clearTimeout(this.#answerTimer)
    this.#answerTimer = undefined
  }

  #expectAnswer(isSecond = false): void {
    const waited = new Stopwatch(this.#platform)
    const waitMs = ANSWER_MS + this.#platform.random() * SPREAD_MS
    this.#answerTimer ??= this.#platform.setTimeout(() => {
      this.#answerTimer = undefined
      if (waited.elapsedMs < waitMs + LATE_MS || isSecond) return this.takeOver()
      this.#expectAnswer(true)
      this.announce()
    }, waitMs)
  }

  #watch(tab: string): void {
    const ended = (): undefined => {
      this.#isVisibleByTab.delete(tab)
      if (this.isLeader) this.#host.tabEnded(tab)
    }
    this.#request(this.#lockOf(tab), {}, ended).catch(() => {})
  }

  #acquire(steal: boolean): void {
    if (this.#requested.has(steal)) return
    this.#requested.add(steal)
    let wasGranted = false
    const hold = (): Promise<void> | undefined => {
      this.#requested.delete(steal)
      if (this.hasLeft || this.isLeader) return undefined
      wasGranted = true
      this.isLeader = true
      this.#heardLeader()
      if (steal) this.#isVisibleByTab.delete(this.#leader)
      for (const tab of this.#isVisibleByTab.keys()) this.#watch(tab)
      this.#onLead()
      if (steal) this.#host.tabEnded(this.#leader)
      return this.#end
    }
    // A request that was granted and then rejects: another tab stole the lock. Without a grant: the browser refuses locks, and each tab leads.
    this.#request(this.#name, { steal }, hold).catch(() => (wasGranted ? this.#demote() : hold()))
  }

  #demote(): void {
    if (!this.isLeader) return
    this.isLeader = false
    this.#host.demoted()
    this.announce()
  }

  async #request(name: string, options: LockOptions, granted: LockGranted): Promise<unknown> {
    return this.#locks.request(name, options, granted)
  }

  /** Returns the name of the lock of a tab, or of a toast: the ids of both are random. */
  #lockOf(id: string): string {
    return `${this.#name}:${id}`
  }
}
