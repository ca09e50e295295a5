import { isAtOrBefore } from './order.ts'
import { Recent } from './recent.ts'
import type { Memory } from './storage.ts'
import type { Tabs } from './tabs.ts'
import type { Arrival } from './types.ts'

/** More notifications than this at once are one toast. */
const MAX_TOASTS = 3

interface ToastsHost {
  /** Returns undefined in a client that does not share its connection. */
  tabs(): Tabs | undefined
  /** Returns true if the notification has expired. */
  isOver(ctx: Arrival): boolean
  /** Fires the event, with `many` for a toast of several notifications. Resolves when its handlers have finished. */
  emit(ctx: Arrival, many: false | { count: number; ids: string[] }): Promise<void>
}

/**
 * Raises each toast in one tab of the browser: the leader assigns it. Every tab keeps the assigned toasts, so that the next leader can
 * reassign those of a tab that ended, and the ids of raised toasts, so that none is raised twice. Two tabs may lead for a moment, and a tab
 * may have missed that a toast was raised: therefore a tab raises only the toasts that it can claim.
 */
export class Toasts {
  readonly #host: ToastsHost
  readonly #memory: Memory
  /** By notification id. */
  readonly #assigned = new Map<string, { tab: string; ctx: Arrival }>()
  /** Ids of the notifications whose toast was raised, by any tab. */
  readonly #raised = new Recent()

  constructor(memory: Memory, host: ToastsHost) {
    this.#memory = memory
    this.#host = host
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
    this.#record(tab, [ctx])
    return this.#assigned.has(idOf(ctx)) ? tab : ''
  }

  /** Takes toasts that the leader assigned to a tab: raises them if it is this one. */
  async assigned(tab: string, ctxs: Arrival[], isLast?: boolean): Promise<void> {
    this.#record(tab, ctxs)
    if (tab === this.tab) await this.raise(ctxs, isLast)
  }

  #record(tab: string, ctxs: Arrival[]): void {
    for (const ctx of ctxs) {
      if (!this.#raised.has(idOf(ctx))) this.#assigned.set(idOf(ctx), { tab, ctx })
    }
  }

  /**
   * Called in the leader at the end of a replay: assigns the toasts that wait in this tab to the tab that raises toasts now. With `isLast`
   * this page stops running, and toasts of this tab are raised before that.
   */
  release(isLast = false): Promise<void> {
    return this.#reassign(this.tab, isLast)
  }

  /**
   * Raises toasts in this tab unless a tab raised them before: each by itself, or more than three as one. Then calls `notify`.
   *
   * @returns a promise that resolves when the handlers and `notify` have finished
   */
  async raise(ctxs: Arrival[], isLast = false, notify?: () => unknown): Promise<void> {
    const { isOver, emit } = this.#host
    const tabs = this.#host.tabs()
    const all = ctxs.map(idOf)
    const isRefused = !isLast && tabs ? await tabs.claim(all) : []
    const fresh = ctxs.filter((ctx, i) => !isRefused[i] && !this.raised(idOf(ctx)) && !isOver(ctx))
    const newest = fresh.at(-1)
    if (newest && tabs?.isLeader !== false) this.raisedTo(newest.eventId)
    const ids = fresh.map(idOf)
    const many = ids.length > MAX_TOASTS && { count: ids.length, ids }
    // Told before the handlers run: a handler that shows a dialog stops this tab. All raised ones are told, not only the fresh ones: a
    // leader that missed an earlier message learns them now. The tab that claimed a toast tells it.
    tabs?.post({ type: 'toasted', ids: all.filter((id) => this.#raised.has(id)) })
    await Promise.all([...(many ? fresh.slice(-1) : fresh).map((ctx) => emit(ctx, many)), notify?.()])
  }

  /**
   * Called in the leader: stores that every toast up to this position was raised, unless one is still assigned. The position in the log is
   * stored later: if the page ends before that, the next one replays the row and raises no second toast.
   */
  raisedTo(eventId: string): void {
    if (!this.#assigned.size && !isAtOrBefore(eventId, this.#memory.get('toasted'))) this.#memory.set('toasted', eventId)
  }

  /** Records that a tab raised a toast. Returns true if that was known. */
  raised(id: string): boolean {
    this.#assigned.delete(id)
    return this.#raised.see(id)
  }

  /** Drops the toasts that are not raised yet and that `isGone` names: their notifications are not shown any more. */
  drop(isGone: (ctx: Arrival) => unknown): void {
    for (const { ctx } of this.#assigned.values()) if (isGone(ctx)) this.raised(idOf(ctx))
  }

  /** Forgets the toasts that are not raised yet: the other tabs keep them. */
  clear(): void {
    this.#assigned.clear()
  }

  /**
   * Called in the leader: reassigns the toasts of a tab that ended. This tab may have missed that a toast was raised, while it did not run
   * and another tab led: the stored position tells.
   */
  tabEnded(ended: string): void {
    const raisedTo = this.#memory.get('toasted')
    this.drop(({ eventId }) => isAtOrBefore(eventId, raisedTo))
    this.#reassign(ended)
  }

  get #toaster(): string {
    return this.#host.tabs()?.toaster() ?? ''
  }

  /** Assigns the toasts of a tab to the tab that raises toasts now. */
  async #reassign(from: string, isLast?: boolean): Promise<void> {
    const ctxs = [...this.#assigned.values()].filter(({ tab }) => tab === from).map(({ ctx }) => ctx)
    if (!ctxs.length) return
    const to = this.#toaster
    this.#host.tabs()?.post({ type: 'toast', to, ctxs })
    await this.assigned(to, ctxs, isLast)
  }
}

function idOf({ notification }: Arrival): string {
  return notification.id
}
