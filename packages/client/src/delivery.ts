import { type CaughtUpFrame, type GapFrame, type HelloFrame, parseEventId, type RowFrame } from '../../../services/protocol/index.ts'
import type { Acks } from './acks.ts'
import { Dedupe } from './dedupe.ts'
import type { Events } from './events.ts'
import type { LiveInbox } from './inbox.ts'
import type { Memory } from './storage.ts'
import type { Toasts } from './toasts.ts'

/** A frame on its way to the handlers; `unread` and `toast` are given with those that another tab received. */
export interface Item {
  frame: RowFrame | CaughtUpFrame | GapFrame
  shared?: { unread: number; toast: string }
}

export interface DeliveryParts {
  events: Events
  inbox: LiveInbox
  memory: Memory
  acks: Acks
  toasts: Toasts
}

export interface DeliveryHost {
  /** '' where there are no tabs. */
  tab(): string
  leading(): boolean
  /** Passes a frame of this tab's connection on to the other tabs, before the place in the log moves. */
  share(frame: Item['frame'], unread: number, toast: string): void
  /** Rows are missing. */
  hole(): void
}

/** Takes frames to the handlers one by one, each row once, and moves the place in the log behind them. */
export class Delivery {
  readonly #parts: DeliveryParts
  readonly #host: DeliveryHost
  readonly #dedupe = new Dedupe()
  #queue: Item[] = []
  #busy = false
  /** The newest row that the unread count of `hello` knew of. */
  #counted = ''

  constructor(parts: DeliveryParts, host: DeliveryHost) {
    this.#parts = parts
    this.#host = host
  }

  get last(): string {
    return this.#dedupe.last
  }

  /** Takes up what was remembered of the user. */
  load(): void {
    const { memory } = this.#parts
    this.#dedupe.load(memory.lastEventId, memory.shown)
  }

  hello({ resume, unread }: HelloFrame): void {
    this.#counted = resume.to
    this.#parts.inbox.count(unread)
  }

  push(item: Item): void {
    this.#queue.push(item)
    if (!this.#busy) this.#drain()
  }

  /** What the lost connection brought and no handler has seen comes again with the next one. */
  lost(): void {
    this.#queue = this.#queue.filter((item) => item.shared !== undefined)
    this.#dedupe.lost()
  }

  /** Keeps what is only in memory. */
  save(): void {
    if (this.#host.leading()) this.#parts.memory.shown = this.#dedupe.ids
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) await this.#deliver(item)
    this.#busy = false
  }

  async #deliver({ frame, shared }: Item): Promise<void> {
    const { events, inbox, acks, toasts } = this.#parts
    const leader = shared === undefined
    if (frame.type === 'gap') {
      this.#dedupe.gap()
      if (leader) {
        acks.drop()
        this.#host.share(frame, inbox.counted, '')
      }
      inbox.stale()
      const { reason, from, to, count } = frame
      await events.emit('gap', { reason, from, to, count, leader })
      return
    }
    const { eventId } = frame
    if (frame.type === 'caughtUp') {
      this.#dedupe.caughtUp(eventId)
      if (leader) this.#host.share(frame, inbox.counted, '')
      await events.emit('caughtUp', { eventId, leader })
    } else {
      const id = frame.type === 'notification' ? frame.notification.id : undefined
      const check = this.#dedupe.check(eventId, id, leader && frame.replay !== true)
      if (check === 'hole') {
        this.#host.hole()
        return
      }
      if (check === 'new') await this.#show(frame, shared)
      else if (id !== undefined && shared?.toast === this.#host.tab()) toasts.done(id)
    }
    if (leader) this.#settle(eventId)
  }

  async #show(frame: RowFrame, shared: Item['shared']): Promise<void> {
    const { events, inbox, toasts } = this.#parts
    const leader = shared === undefined
    const { eventId } = frame
    const replay = frame.replay === true
    inbox.apply(frame, shared?.unread ?? this.#unreadAfter(frame))
    const unread = inbox.counted
    const row = { eventId, replay, leader }
    if (frame.type !== 'notification') {
      if (leader) this.#host.share(frame, unread, '')
      if (frame.type === 'state') await events.emit('marked', { ...row, ids: frame.ids, state: frame.state, unread })
      else if (frame.type === 'retract') await events.emit('retract', { ...row, id: frame.id, reason: frame.reason, unread })
      else await events.emit('digest', { ...row, count: frame.count, ids: frame.ids, unread })
      return
    }
    const { notification, state = 'unread' } = frame
    const ctx = { ...row, notification, state }
    const toast = shared?.toast ?? (state === 'unread' ? toasts.assign(ctx) : undefined)
    if (leader) this.#host.share(frame, unread, toast ?? '')
    const shown = events.emit('notification', ctx)
    await Promise.all([shown, toast === this.#host.tab() && toasts.raise(ctx)])
  }

  /** Rows that `hello` knew of are in its count. */
  #unreadAfter(frame: RowFrame): number {
    const { inbox } = this.#parts
    const at = parseEventId(frame.eventId)
    const counted = parseEventId(this.#counted)
    if (at !== undefined && at.epoch === counted?.epoch && at.offset <= counted.offset) return inbox.counted
    if (frame.type !== 'notification') return frame.unread
    return inbox.counted + (frame.state === undefined || frame.state === 'seen' ? 1 : 0)
  }

  /** What another tab leads by now is not this tab's to move. */
  #settle(eventId: string): void {
    if (!this.#host.leading()) return
    const { memory, acks } = this.#parts
    memory.lastEventId = this.#dedupe.last
    acks.moved(eventId)
  }
}
