import type { Events } from './events.ts'
import type { Tabs } from './tabs.ts'
import type { BelfryEvents, NotificationContext } from './types.ts'

/**
 * One toast a browser: the leader gives each to one tab. Every tab remembers which are not raised yet, so that whoever leads can
 * hand on those of a tab that is gone.
 */
export class Toasts {
  readonly #events: Events<BelfryEvents>
  readonly #tabs: () => Tabs | undefined
  readonly #open = new Map<string, { tab: string; ctx: NotificationContext }>()

  constructor(events: Events<BelfryEvents>, tabs: () => Tabs | undefined) {
    this.#events = events
    this.#tabs = tabs
  }

  /** The tab that is to raise it; '' where there are no tabs. */
  assign(ctx: NotificationContext): string {
    const tab = this.#tabs()?.toaster() ?? ''
    this.given(tab, ctx)
    return tab
  }

  /** The leader has given it to a tab. */
  given(tab: string, ctx: NotificationContext): void {
    this.#open.set(ctx.notification.id, { tab, ctx })
  }

  /** Raises it here. */
  async raise(ctx: NotificationContext): Promise<void> {
    const handled = this.#events.emit('toast', ctx)
    this.done(ctx.notification.id)
    await handled
  }

  /** There is nothing left to raise here. */
  done(id: string): void {
    this.raised(id)
    this.#tabs()?.post({ type: 'toasted', id })
  }

  /** A tab has raised it. */
  raised(id: string): void {
    this.#open.delete(id)
  }

  /** A tab is gone, and this one leads. */
  lost(gone: string): void {
    for (const { tab, ctx } of this.#open.values()) {
      if (tab !== gone) continue
      const to = this.assign(ctx)
      const tabs = this.#tabs()
      if (to === tabs?.id) this.raise({ ...ctx, leader: true })
      else tabs?.post({ type: 'toast', to, ctx })
    }
  }
}
