import type { CaughtUpFrame, ErrorFrame, GapFrame, MarkFrame, OkFrame, RowFrame } from '../../../services/protocol/index.ts'
import type { Channel, Locks } from './platform.ts'
import type { ConnectionState, NotificationContext, TerminalContext } from './types.ts'

/** What tabs of one user tell each other. `from` and `to` are tab ids; `toast` is the tab that raises it, '' for none. */
export type TabMessage =
  | { type: 'here'; from: string; visible: boolean; ask: boolean }
  | { type: 'status'; state: ConnectionState; unread: number }
  | { type: 'row'; frame: RowFrame | GapFrame | CaughtUpFrame; unread: number; toast: string }
  | { type: 'toast'; to: string; ctxs: NotificationContext[] }
  | { type: 'toasted'; ids: string[] }
  | { type: 'call'; from: string; frame: MarkFrame }
  | { type: 'answer'; to: string; frame: OkFrame | ErrorFrame }
  | { type: 'terminal'; ctx: TerminalContext }

export interface TabsHost {
  message(message: TabMessage): void
  /** A tab closed or crashed; told to the leader only. */
  lost(tab: string): void
}

/**
 * The tabs of one browser: elects a leader by a lock that the browser gives to the next tab when its holder goes, however it goes.
 * Each tab holds a lock of its own too, which tells the leader of its end.
 */
export class Tabs {
  readonly id: string
  /** Whether this tab holds the connection. */
  leading = false
  /** For good: another takes its place. */
  left = false
  readonly #locks: Locks
  readonly #visible: () => boolean
  readonly #name: string
  readonly #host: TabsHost
  readonly #channel: Channel
  /** The other tabs, and whether each can be seen. */
  readonly #others = new Map<string, boolean>()
  #release = (): void => {}
  /** Locks are held until it resolves. */
  readonly #end = new Promise<void>((resolve) => {
    this.#release = resolve
  })

  /** @param visible whether this tab can be seen now */
  constructor(locks: Locks, channel: Channel, name: string, id: string, visible: () => boolean, host: TabsHost) {
    this.#locks = locks
    this.#name = name
    this.#visible = visible
    this.#host = host
    this.id = id
    this.#channel = channel
    channel.onmessage = ({ data }) => this.#receive(data as TabMessage)
    this.#hold(this.#lockOf(id), () => this.announce(true))
  }

  /** Resolves when this tab leads; where locks are refused, at once. */
  lead(): Promise<void> {
    return new Promise((resolve) => {
      this.#hold(this.#name, () => {
        this.leading = true
        for (const tab of this.#others.keys()) this.#watch(tab)
        resolve()
      })
    })
  }

  /** Says whether this tab can be seen, and asks the others when `ask`. */
  announce(ask = false): void {
    this.post({ type: 'here', from: this.id, visible: this.#visible(), ask })
  }

  post(message: TabMessage): void {
    if (!this.left) this.#channel.postMessage(message)
  }

  /** The tab to raise a toast: this one when it can be seen, else one that can, else this one. */
  toaster(): string {
    if (this.#visible()) return this.id
    for (const [tab, visible] of this.#others) if (visible) return tab
    return this.id
  }

  /** Lets another tab lead. */
  leave(): void {
    this.left = true
    this.leading = false
    this.#channel.close()
    this.#release()
  }

  #receive(message: TabMessage): void {
    if (this.left) return
    if (message.type === 'here') {
      const known = this.#others.has(message.from)
      this.#others.set(message.from, message.visible)
      if (this.leading && !known) this.#watch(message.from)
      if (message.ask) this.announce()
    }
    this.#host.message(message)
  }

  #watch(tab: string): void {
    const gone = (): undefined => {
      this.#others.delete(tab)
      if (this.leading) this.#host.lost(tab)
    }
    this.#request(this.#lockOf(tab), gone).catch(() => {})
  }

  #hold(name: string, held: () => void): void {
    const hold = (): Promise<void> | undefined => {
      if (this.left) return undefined
      held()
      return this.#end
    }
    this.#request(name, hold).catch(hold)
  }

  async #request(name: string, held: () => Promise<void> | undefined): Promise<unknown> {
    return this.#locks.request(name, held)
  }

  #lockOf(tab: string): string {
    return `${this.#name}:${tab}`
  }
}
