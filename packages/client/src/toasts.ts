import type { Events } from './events.ts'
import { Recent } from './recent.ts'
import type { Tabs } from './tabs.ts'
import type { BelfryEvents, NotificationContext } from './types.ts'

/** More than this at once are one toast. */
const MAX_TOASTS = 3

/**
 * One toast a browser: the leader gives each to one tab. Every tab remembers which are not raised yet, so that whoever leads can
 * hand on those of a tab that is gone, and which are, so that none is raised twice.
 */
export class Toasts {
  readonly #events: Events<BelfryEvents>
  /** undefined where there are none to share with. */
  readonly tabs: () => Tabs | undefined
  readonly #open = new Map<string, { tab: string; ctx: NotificationContext }>()
  /** By any tab. */
  readonly #raised = new Recent()
  /** Of a replay that is not over: the leader's until then. */
  #held: NotificationContext[] = []

  constructor(events: Events<BelfryEvents>, tabs: () => Tabs | undefined) {
    this.#events = events
    this.tabs = tabs
  }

  /** Whether all that were given have been raised. */
  get settled(): boolean {
    return this.#open.size === 0
  }

  /** This tab; '' where there are no tabs. */
  get tab(): string {
    return this.tabs()?.id ?? ''
  }

  /** Returns the tab that is to raise it: of a replay this one, with `release()`. '' where there are no tabs, and when it was raised. */
  assign(ctx: NotificationContext): string {
    const tab = ctx.replay ? this.tab : this.#toaster
    this.given(tab, [ctx])
    if (!this.#open.has(idOf(ctx))) return ''
    if (ctx.replay) this.#held.push(ctx)
    return tab
  }

  /** The leader has given them to a tab. */
  given(tab: string, ctxs: NotificationContext[]): void {
    for (const ctx of ctxs) {
      if (!this.#raised.has(idOf(ctx))) this.#open.set(idOf(ctx), { tab, ctx })
    }
  }

  /** The replay is over: raises what it brought, in the tab that is to raise toasts now. */
  release(): Promise<void> {
    return this.#hand(this.#held.splice(0))
  }

  /** Raises here those that no tab has raised: each by itself, or more than three as one. */
  async raise(ctxs: NotificationContext[]): Promise<void> {
    const tabs = this.tabs()
    const fresh = ctxs.filter((ctx) => !this.raised(idOf(ctx)))
    const ids = fresh.map(idOf)
    const count = ids.length
    const many = count > MAX_TOASTS
    // Before the handlers: one that shows a dialog stops this tab, and another that leads meanwhile must not raise them again. Of all: a
    // leader that missed that they were raised learns it now.
    tabs?.post({ type: 'toasted', ids: ctxs.map(idOf) })
    const handled = (many ? fresh.slice(-1) : fresh).map((ctx) =>
      this.#events.emit('toast', { ...ctx, leader: tabs?.leading ?? true, ...(many && { count, ids }) })
    )
    await Promise.all(handled)
  }

  /** A tab has raised it; returns whether that was known. */
  raised(id: string): boolean {
    this.#open.delete(id)
    return this.#raised.see(id)
  }

  /** Forgets those of a replay: another tab leads, and raises them. */
  drop(): void {
    this.#held = []
  }

  /** Forgets what is not raised yet: other tabs see to that. */
  clear(): void {
    this.#open.clear()
    this.drop()
  }

  /** A tab is gone, and this one leads. */
  lost(gone: string): void {
    this.#hand([...this.#open.values()].flatMap(({ tab, ctx }) => (tab === gone ? [ctx] : [])))
  }

  get #toaster(): string {
    return this.tabs()?.toaster() ?? ''
  }

  async #hand(ctxs: NotificationContext[]): Promise<void> {
    if (!ctxs.length) return
    const to = this.#toaster
    this.given(to, ctxs)
    if (to === this.tab) await this.raise(ctxs)
    else this.tabs()?.post({ type: 'toast', to, ctxs })
  }
}

function idOf({ notification }: NotificationContext): string {
  return notification.id
}
