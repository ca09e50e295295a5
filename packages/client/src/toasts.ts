import type { Events } from './events.ts'
import type { Tabs } from './tabs.ts'
import type { BelfryEvents, NotificationContext } from './types.ts'

/** One toast a browser: the leader hands each to one tab, and on to another when that one goes before it was raised. */
export class Toasts {
  readonly #events: Events<BelfryEvents>
  readonly #tabs: () => Tabs | undefined
  readonly #open = new Map<string, { tab: string; ctx: NotificationContext }>()

  constructor(events: Events<BelfryEvents>, tabs: () => Tabs | undefined) {
    this.#events = events
    this.#tabs = tabs
  }

  /** The tab that is to raise it. */
  assign(ctx: NotificationContext): string {
    const tabs = this.#tabs()
    const tab = tabs?.toaster() ?? ''
    if (tabs !== undefined && tab !== tabs.id) this.#open.set(ctx.notification.id, { tab, ctx })
    return tab
  }

  /** Raises it here. */
  async raise(ctx: NotificationContext): Promise<void> {
    await this.#events.emit('toast', ctx)
    this.done(ctx.notification.id)
  }

  /** There is nothing left to raise here. */
  done(id: string): void {
    this.#tabs()?.post({ type: 'toasted', id })
  }

  /** A tab has raised it. */
  raised(id: string): void {
    this.#open.delete(id)
  }

  /** A tab is gone. */
  lost(gone: string): void {
    for (const [id, { tab, ctx }] of this.#open) {
      if (tab !== gone) continue
      this.#open.delete(id)
      const tabs = this.#tabs()
      const to = this.assign(ctx)
      if (tabs === undefined || to === tabs.id) this.raise({ ...ctx, leader: true })
      else tabs.post({ type: 'toast', to, ctx: { ...ctx, leader: false } })
    }
  }
}
