import type { Events } from './events.ts'
import { Recent } from './recent.ts'
import type { Tabs } from './tabs.ts'
import type { BelfryEvents, NotificationContext } from './types.ts'

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

  constructor(events: Events<BelfryEvents>, tabs: () => Tabs | undefined) {
    this.#events = events
    this.tabs = tabs
  }

  /** Whether all that were given have been raised. */
  get settled(): boolean {
    return this.#open.size === 0
  }

  /** The tab that is to raise it; '' where there are no tabs, and when it was raised. */
  assign(ctx: NotificationContext): string {
    const tab = this.tabs()?.toaster() ?? ''
    return this.given(tab, ctx) ? tab : ''
  }

  /** The leader has given it to a tab. Whether it is still to be raised. */
  given(tab: string, ctx: NotificationContext): boolean {
    const { id } = ctx.notification
    return !this.#raised.has(id) && !!this.#open.set(id, { tab, ctx })
  }

  /** Raises it here, unless a tab has. */
  async raise(ctx: NotificationContext): Promise<void> {
    const { id } = ctx.notification
    const handled = this.raised(id) || this.#events.emit('toast', ctx)
    this.tabs()?.post({ type: 'toasted', id })
    await handled
  }

  /** A tab has raised it; whether that was known. */
  raised(id: string): boolean {
    this.#open.delete(id)
    return this.#raised.see(id)
  }

  /** Forgets what is not raised yet: other tabs see to that. */
  clear(): void {
    this.#open.clear()
  }

  /** A tab is gone, and this one leads. */
  lost(gone: string): void {
    for (const { tab, ctx } of this.#open.values()) {
      if (tab !== gone) continue
      const to = this.assign(ctx)
      const tabs = this.tabs()
      if (to === tabs?.id) this.raise({ ...ctx, leader: true })
      else tabs?.post({ type: 'toast', to, ctx })
    }
  }
}
