import type { CaughtUpFrame, GapFrame, HelloFrame, NotificationFrame, RowFrame } from '../../../services/protocol/index.ts'
import type { Acks } from './acks.ts'
import { Dedupe } from './dedupe.ts'
import type { Events } from './events.ts'
import { ahead } from './order.ts'
import type { Memory } from './storage.ts'
import type { Toasts } from './toasts.ts'
import type { BelfryEvents, NotificationContext } from './types.ts'

/** A frame on its way to the handlers; `unread` and `toast` are given with those that another tab received. */
export interface Item {
  frame: RowFrame | CaughtUpFrame | GapFrame
  shared?: { unread: number; toast: string }
}

/** One user's frames on their way to the handlers: one by one, each row once, with the place in the log moving behind them. */
export class Delivery {
  readonly #events: Events<BelfryEvents>
  readonly #hole: () => void
  readonly #dedupe = new Dedupe()
  readonly memory: Memory
  readonly acks: Acks
  readonly toasts: Toasts
  #queue: Item[] = []
  #busy = false
  #closed = false
  /** The newest row that the unread count of `hello` knew of. */
  #counted = ''
  /** Up to here all toasts were raised before this connection, by whichever tab led. */
  #raised = ''
  unread = 0

  /** @param hole told when rows are missing */
  constructor(events: Events<BelfryEvents>, memory: Memory, acks: Acks, toasts: Toasts, hole: () => void) {
    this.#events = events
    this.memory = memory
    this.acks = acks
    this.toasts = toasts
    this.#hole = hole
    this.load()
  }

  get last(): string {
    return this.#dedupe.last
  }

  /**
   * Where the next connection goes on. A leader that crashed may have moved the place kept for all tabs past rows that never
   * reached this one: what this tab itself has seen counts.
   */
  resumeAt(): string {
    this.#raised = this.memory.get('toasted')
    return this.last || this.memory.get('last')
  }

  get #leads(): boolean {
    return this.toasts.tabs()?.leading ?? true
  }

  /** Takes up what was remembered of the user. */
  load(): void {
    this.#dedupe.load(this.memory)
    this.toasts.clear()
  }

  hello({ resume, unread, limits }: HelloFrame): void {
    this.acks.limit(limits.maxUnacked)
    this.#counted = resume.to
    this.count(unread)
  }

  count(unread: number): void {
    if (unread === this.unread) return
    this.unread = unread
    this.#events.emit('unread', { unread })
  }

  push(item: Item): void {
    this.#queue.push(item)
    if (!this.#busy) this.#drain()
  }

  /** What the lost connection brought and no handler has seen comes again with the next one. */
  lost(): void {
    this.#queue = this.#queue.filter((item) => item.shared)
  }

  /** Nothing more goes to the handlers. */
  clear(): void {
    this.#queue = []
  }

  /** Another user takes over: handlers that are still at work change nothing any more. */
  close(): void {
    this.#closed = true
    this.clear()
    this.acks.drop()
  }

  /** Keeps what is only in memory. */
  save(): void {
    if (this.#leads) this.#dedupe.save(this.memory)
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let item = this.#queue.shift(); item; item = this.#queue.shift()) await this.#deliver(item)
    this.#busy = false
  }

  async #deliver({ frame, shared }: Item): Promise<void> {
    const leader = !shared
    if (frame.type === 'gap') {
      this.#dedupe.gap()
      this.#raised = ''
      this.acks.drop()
      this.#share(leader, frame)
      const { type, ...ctx } = frame
      await this.#events.emit('gap', { ...ctx, leader })
      return
    }
    const { eventId } = frame
    const id = frame.type === 'notification' ? frame.notification.id : undefined
    if (frame.type === 'caughtUp') {
      this.#dedupe.caughtUp(eventId)
      this.count(shared?.unread ?? frame.unread)
      this.#share(leader, frame)
      await Promise.all([leader && this.toasts.release(), this.#events.emit('caughtUp', { eventId, leader })])
    } else if (eventId) {
      const check = this.#dedupe.check(eventId, id, leader && !frame.replay)
      if (check === 'hole') return this.#hole()
      if (check !== 'old') this.count(shared ? shared.unread : this.#unreadAfter(frame))
      if (check === 'new') await this.#show(frame, shared)
      else if (shared && shared.toast === this.toasts.tab && frame.type === 'notification')
        this.toasts.raise([notificationContext(frame, false)])
    }
    if (this.#closed) return
    if (id) this.#dedupe.settle(id)
    if (leader) this.#settle(eventId)
  }

  async #show(frame: RowFrame, shared: Item['shared']): Promise<void> {
    const events = this.#events
    const leader = !shared
    if (frame.type === 'notification') {
      const ctx = notificationContext(frame, leader)
      const toast = shared ? shared.toast : ctx.state === 'unread' && !within(frame, this.#raised) ? this.toasts.assign(ctx) : undefined
      this.#share(leader, frame, toast)
      // Toasts of a replay wait for its end.
      const raised = toast === this.toasts.tab && !(leader && ctx.replay) && this.toasts.raise([ctx])
      await Promise.all([events.emit('notification', ctx), raised])
      return
    }
    this.#share(leader, frame)
    const { type, ...row } = frame
    const ctx = { ...row, replay: !!frame.replay, leader, unread: this.unread }
    // Each of these frames has the fields of its event.
    await events.emit(type === 'state' ? 'marked' : type, ctx as BelfryEvents['marked' | 'retract' | 'digest'] as never)
  }

  /** Passes a frame of this tab's connection on to the other tabs, before the place in the log moves. */
  #share(leader: boolean, frame: Item['frame'], toast = ''): void {
    if (leader) this.toasts.tabs()?.post({ type: 'row', frame, unread: this.unread, toast })
  }

  /** Rows that `hello` knew of are in its count; what other replayed ones make of it, `caughtUp` tells. */
  #unreadAfter(frame: RowFrame): number {
    if (within(frame, this.#counted)) return this.unread
    if (frame.type !== 'notification') return frame.unread ?? this.unread
    return this.unread + (frame.replay ? 0 : 1)
  }

  /** What another tab leads by now is not this tab's to move. */
  #settle(eventId: string): void {
    if (!eventId || !this.#leads) return
    this.memory.set('last', this.last)
    if (this.toasts.settled) this.memory.set('toasted', this.last)
    this.acks.moved(eventId)
  }
}

export function notificationContext(frame: NotificationFrame, leader: boolean): NotificationContext {
  const { eventId, replay, notification, state = 'unread' } = frame
  return { eventId, notification, state, replay: !!replay, leader }
}

/** Whether the row is at or before a place in the log. */
function within({ eventId }: RowFrame, place: string): boolean {
  return ahead(eventId, place) <= 0
}
