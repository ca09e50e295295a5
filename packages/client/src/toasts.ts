import { isAtOrBefore } from './order.ts'
import { Recent } from './recent.ts'
import type { Tabs } from './tabs.ts'
import type { Arrival } from './types.ts'

/** More notifications than this at once are one toast. */
const MAX_TOASTS = 3

interface ToastsHost {
  /** Returns undefined in a client that does not share its connection. */
  tabs(): Tabs | undefined
  /** Returns the stored position up to which every toast was raised, by any tab; '' for none. */
  raisedTo(): string
  /** Returns true if the notification has expired. */
  isOver(ctx: Arrival): boolean
  /** Fires the event. Resolves when its handlers have finished. */
  emit(ctx: Arrival & { count?: number; ids?: string[] }): Promise<void>
}

/**
 * Raises each toast in one tab of the browser: the leader assigns it. Every tab keeps the assigned toasts, so that the next leader can
 * reassign those of a tab that ended, and the ids of raised toasts, so that none is raised twice.
 */
export class Toasts {
  readonly #host: ToastsHost
  /** By notification id. */
  readonly #assigned = new Map<string, { tab: string; ctx: Arrival }>()
  /** Ids of the notifications whose toast was raised, by any tab. */
  readonly #raised = new Recent()
  /** Toasts of a replay. The leader assigns them when the replay is over. */
  #replayed: Arrival[] = []

  constructor(host: ToastsHost) {
    this.#host = host
  }

  /** True if every assigned toast has been raised. */
  get settled(): boolean {
    return this.#assigned.size === 0
  }

  /** The id of this tab; '' without tabs. */
  get tab(): string {
    return this.#host.tabs()?.id ?? ''
  }

  /**
   * Called in the leader. Returns the tab that raises the toast; '' if it was raised before, and without tabs. A toast of a replay is
   * assigned to this tab until `release()`.
   */
  assign(ctx: Arrival): string {
    const tab = ctx.replay ? this.tab : this.#toaster
    this.assigned(tab, [ctx])
    if (!this.#assigned.has(idOf(ctx))) return ''
    if (ctx.replay) this.#replayed.push(ctx)
    return tab
  }

  /** Records that the leader assigned toasts to a tab. */
  assigned(tab: string, ctxs: Arrival[]): void {
    for (const ctx of ctxs) {
      if (!this.#raised.has(idOf(ctx))) this.#assigned.set(idOf(ctx), { tab, ctx })
    }
  }

  /** Assigns the toasts of a replay, which is over, to the tab that raises toasts now. */
  release(): Promise<void> {
    return this.#reassign(this.#replayed.splice(0))
  }

  /** Raises toasts in this tab unless a tab raised them before: each by itself, or more than three as one. */
  async raise(ctxs: Arrival[]): Promise<void> {
    const { tabs, isOver, emit } = this.#host
    const fresh = ctxs.filter((ctx) => !this.raised(idOf(ctx)) && !isOver(ctx))
    const ids = fresh.map(idOf)
    const count = ids.length
    const many = count > MAX_TOASTS
    // Told before the handlers run: a handler that shows a dialog stops this tab, and the tab that leads then must not raise the toasts
    // again. All ids are told, not only the fresh ones: a leader that missed an earlier message learns them now.
    tabs()?.post({ type: 'toasted', ids: ctxs.map(idOf) })
    const handled = (many ? fresh.slice(-1) : fresh).map((ctx) =>
      emit({ ...ctx, leader: tabs()?.isLeader ?? true, ...(many && { count, ids }) })
    )
    await Promise.all(handled)
  }

  /** Records that a tab raised a toast. Returns true if that was known. */
  raised(id: string): boolean {
    this.#assigned.delete(id)
    return this.#raised.see(id)
  }

  /** Drops the toasts that wait for a tab or for the end of the replay, and that `isGone` names: their notifications are not shown any more. */
  drop(isGone: (ctx: Arrival) => boolean): void {
    for (const { ctx } of this.#assigned.values()) if (isGone(ctx)) this.raised(idOf(ctx))
  }

  /** Forgets the toasts of a replay: another tab leads, gets the replay and raises them. */
  dropReplayed(): void {
    this.#replayed = []
  }

  /** Forgets the toasts that are not raised yet: the other tabs keep them. */
  clear(): void {
    this.#assigned.clear()
    this.dropReplayed()
  }

  /**
   * Called in the leader: reassigns the toasts of a tab that ended. This tab may have missed that a toast was raised, while it did not run
   * and another tab led: the stored position tells.
   */
  tabEnded(ended: string): void {
    const raisedTo = this.#host.raisedTo()
    this.drop(({ eventId }) => isAtOrBefore(eventId, raisedTo))
    this.#reassign([...this.#assigned.values()].flatMap(({ tab, ctx }) => (tab === ended ? [ctx] : [])))
  }

  get #toaster(): string {
    return this.#host.tabs()?.toaster() ?? ''
  }

  async #reassign(ctxs: Arrival[]): Promise<void> {
    if (!ctxs.length) return
    const to = this.#toaster
    this.assigned(to, ctxs)
    if (to === this.tab) await this.raise(ctxs)
    else this.#host.tabs()?.post({ type: 'toast', to, ctxs })
  }
}

function idOf({ notification }: Arrival): string {
  return notification.id
}
