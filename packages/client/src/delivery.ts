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
  /** The place in storage when this tab last connected: it only moves forward, also under a leader that is behind other tabs. */
  #stored = ''
  /** The newest event id received, or taken over from the leader when this tab joined; undefined before. */
  #received: string | undefined
  /** This tab missed rows, or may have: those of the leader are ignored until its status is that of this tab, or this tab leads. */
  away = false
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
    this.#stored = this.memory.get('last')
    return this.last || this.#stored
  }

  get #leads(): boolean {
    return this.toasts.tabs()?.leading ?? true
  }

  /** Takes up what was remembered of the user, but in a tab that comes back: it goes on where it was. */
  load(): void {
    if (this.#received === undefined) this.#dedupe.load(this.memory)
    this.toasts.clear()
  }

  hello({ resume, unread, limits }: HelloFrame): void {
    this.acks.limit(limits.maxUnacked)
    this.#counted = resume.to
    this.#received ??= this.last
    this.away = false
    this.count(unread)
  }

  /** Returns whether the leader is at a place that this tab should have heard of. */
  missed(place: string): boolean {
    this.#received ??= place
    this.away = place !== '' && !(ahead(place, this.#received) <= 0)
    return this.away
  }

  count(unread: number): void {
    if (unread === this.unread) return
    this.unread = unread
    this.#events.emit('unread', { unread })
  }

  push(item: Item): void {
    if (this.away && item.shared) return
    this.#queue.push(item)
    if (item.frame.type !== 'gap') this.#received = item.frame.eventId || this.#received
    if (!this.#busy) this.#drain()
  }

  /** What the lost connection brought and no handler has seen comes again with the next one. */
  lost(): void {
    this.#queue = this.#queue.filter((item) => item.shared)
    const tail = this.#queue.at(-1)?.frame
    if (this.#received) this.#received = (tail && 'eventId' in tail && tail.eventId) || this.last
  }

  /** Nothing more goes to the handlers. */
  clear(): void {
    this.#queue = []
    this.#received = undefined
    this.away = false
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
    while (this.#queue.length) {
      const checked = this.toasts.tabs()?.check()
      if (checked) await checked
      const item = this.#queue.shift()
      if (item) await this.#deliver(item)
    }
    this.#busy = false
  }

  async #deliver({ frame, shared }: Item): Promise<void> {
    const leader = !shared
    if (frame.type === 'gap') {
      this.#dedupe.gap()
      this.#raised = ''
      this.#stored = ''
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
    if (!(ahead(this.#stored, this.last) > 0)) this.memory.set('last', this.last)
    if (this.toasts.settled && !(ahead(this.#raised, this.last) > 0)) this.memory.set('toasted', this.last)
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
