import type {
  Answer,
  AnsweredFrame,
  CaughtUpFrame,
  GapFrame,
  HelloFrame,
  NotificationFrame,
  RowFrame
} from '../../../services/protocol/index.ts'
import { Acks } from './acks.ts'
import { Dedupe } from './dedupe.ts'
import type { Events } from './events.ts'
import { Expiries, type Tracked } from './expiries.ts'
import { isAfter, isAtOrBefore } from './order.ts'
import type { Platform } from './platform.ts'
import { isUnread } from './states.ts'
import type { Memory } from './storage.ts'
import type { TabMessage, Tabs } from './tabs.ts'
import { Toasts } from './toasts.ts'
import type { Arrival, BelfryEvents, Counts, NotificationContext } from './types.ts'

interface Item {
  frame: RowFrame | CaughtUpFrame | GapFrame
  /** Set for a frame that came from the leader, not over a connection of this tab. */
  shared?: Counts
}

/** Counts as a frame has them. A service of an older version names no `unseen`. */
interface NamedCounts {
  unread: number
  unseen?: number | undefined
}

interface DeliveryHost {
  /** Returns undefined in a client that does not share its connection. */
  tabs(): Tabs | undefined
  /** Sends an acknowledgement. Returns false if there is no connection. */
  ack(eventId: string): boolean
  /** Live rows are missing. */
  hole(): void
  answer(id: string, action: string): Promise<Answer>
}

/** Hands the frames of one user to the handlers: one after the other, each row once. The position in the log moves after the handlers. */
export class Delivery {
  readonly #events: Events<BelfryEvents>
  readonly #host: DeliveryHost
  readonly #dedupe = new Dedupe()
  readonly memory: Memory
  readonly acks: Acks
  readonly toasts: Toasts
  readonly expiries: Expiries
  /** The notifications whose expiry this tab noticed, by id, until the service retracts them or names an answer. */
  readonly #expired = new Map<string, Tracked>()
  #queue: Item[] = []
  #isDraining = false
  #isClosed = false
  /** The newest row that the unread count of `hello` includes. */
  #countedTo = ''
  /** The position up to which all toasts were raised before this connection, by any tab. */
  #toastedTo = ''
  /** The position in storage when this tab last connected. It only moves forward, even if this tab is behind other tabs. */
  #storedAt = ''
  /** The position from which the service replays the log for the last connection; '' after a gap. */
  #startedAt = ''
  /** The newest event id that this tab received, or the leader's position when this tab joined; undefined before that. */
  #received: string | undefined
  /** This tab may have missed rows. It ignores those of the leader until it has the leader's position, or leads itself. */
  isBehind = false
  unread = 0
  unseen = 0

  constructor(platform: Platform, events: Events<BelfryEvents>, memory: Memory, host: DeliveryHost) {
    this.#events = events
    this.memory = memory
    this.#host = host
    this.acks = new Acks(platform, (eventId) => {
      this.save()
      return host.ack(eventId)
    })
    this.expiries = new Expiries(platform, (item) => this.#expire(item))
    this.toasts = new Toasts(memory, {
      tabs: host.tabs,
      isOver: ({ notification }) => this.expiries.isOver(notification.expiresAt),
      emit: (ctx, many) => {
        const { collapseKey, id } = ctx.notification
        return events.emit('toast', this.#answerable({ ...ctx, ...many, leader: this.#isLeader, tag: collapseKey ?? id }))
      }
    })
    this.load()
  }

  get last(): string {
    return this.#dedupe.last
  }

  /**
   * Returns the position that the next connection resumes from: that of this tab before the one in storage. A leader that crashed may have
   * stored a position past rows that never reached this tab. Before the first row it is the start of the last connection, because the service
   * can lose the first cursor of a device with a Redis master.
   */
  resumeAt(): string {
    this.#toastedTo = this.memory.get('toasted')
    this.#storedAt = this.memory.get('last')
    return this.last || this.#storedAt || this.#startedAt
  }

  /** Loads the position and ids from storage. A tab that joins again has its own position and keeps it. */
  load(): void {
    if (this.#received === undefined) this.#dedupe.load(this.memory)
    this.toasts.clear()
  }

  hello(frame: HelloFrame, maxAgeMs: number): void {
    const { resume, limits, serverTime } = frame
    this.acks.limit(limits.maxUnacked)
    // After a gap the position of a pending acknowledgement is no longer valid.
    if (resume.status === 'gap') this.acks.drop()
    else this.acks.flush()
    this.#startedAt = resume.status === 'gap' ? '' : resume.from
    this.#countedTo = resume.to
    this.#received ??= this.last
    this.isBehind = false
    // The count of `hello` is without what has expired by now.
    this.expiries.sync(serverTime, maxAgeMs)
    this.count(frame)
  }

  /** Compares this tab with the leader's position. Returns true if this tab missed rows. */
  missed(position: string): boolean {
    this.#received ??= position
    this.isBehind = position !== '' && !isAtOrBefore(position, this.#received)
    return this.isBehind
  }

  count({ unread, unseen = Math.min(this.unseen, unread) }: NamedCounts): void {
    if (unread === this.unread && unseen === this.unseen) return
    this.unread = unread
    this.unseen = unseen
    this.#events.emit('unread', { unread, unseen })
  }

  push(item: Item): void {
    if (this.isBehind && item.shared) return
    this.#queue.push(item)
    this.#received = eventIdOf(item.frame) || this.#received
    if (!this.#isDraining) this.#drain()
  }

  /** Takes a row from the leader, or toasts. */
  receiveFromTab(message: Extract<TabMessage, { type: 'row' | 'toast' | 'toasted' }>): void {
    const { toasts } = this
    if (message.type === 'toasted') {
      for (const id of message.ids) toasts.raised(id)
    } else if (message.type === 'toast') {
      toasts.assigned(message.to, message.ctxs)
    } else {
      const { frame, toast } = message
      // Also for a row that this tab has shown or that waits behind slow handlers.
      if (toast && frame.type === 'notification') toasts.assigned(toast, [arrivalOf(frame, false)])
      this.push({ frame, shared: message })
    }
  }

  /** Drops the queued frames of the lost connection: the next one replays them. */
  lost(): void {
    this.#queue = this.#queue.filter((item) => item.shared)
    const tail = this.#queue.at(-1)
    if (this.#received) this.#received = (tail && eventIdOf(tail.frame)) || this.last
  }

  /** Empties the queue, and stops the timer. */
  clear(): void {
    this.expiries.stop()
    this.#queue = []
    this.#received = undefined
    this.isBehind = false
  }

  /** Ends the delivery, because the user changed. Handlers that are still running do not move the position. */
  close(): void {
    this.#isClosed = true
    this.clear()
    this.acks.drop()
  }

  /** Writes the shown ids to storage. */
  save(): void {
    if (this.#isLeader) this.#dedupe.save(this.memory)
  }

  /** Writes the shown ids to storage, and sends the pending acknowledgement. */
  flush(): void {
    this.save()
    this.acks.flush()
  }

  get #isLeader(): boolean {
    return this.#host.tabs()?.isLeader ?? true
  }

  async #drain(): Promise<void> {
    this.#isDraining = true
    while (this.#queue.length) {
      await this.#deliver(this.#queue.shift() as Item)
    }
    this.#isDraining = false
  }

  async #deliver({ frame, shared }: Item): Promise<void> {
    const leader = !shared
    const eventId = eventIdOf(frame)
    const id = frame.type === 'notification' ? frame.notification.id : undefined
    if (frame.type === 'gap') {
      this.#dedupe.gap()
      this.#toastedTo = ''
      this.#storedAt = ''
      this.acks.drop()
      this.#share(leader, frame)
      const { type, ...ctx } = frame
      await this.#events.emit('gap', { ...ctx, leader })
    } else if (frame.type === 'caughtUp') {
      this.#dedupe.caughtUp(eventId)
      this.count(shared ?? frame)
      this.#share(leader, frame)
      await Promise.all([leader && this.toasts.release(), this.#events.emit('caughtUp', { eventId, leader })])
    } else if (eventId) {
      const check = this.#dedupe.check(eventId, id, leader && !frame.replay)
      if (check === 'hole') return this.#host.hole()
      if (check !== 'old') this.count(shared ?? this.#countsAfter(frame))
      if (check === 'new') await this.#show(frame, shared)
    }
    // A handler may have stopped this tab for so long that another one leads, which has stored a later position.
    await this.#host.tabs()?.check()
    if (this.#isClosed) return
    if (id) this.#dedupe.settle(id)
    if (leader) this.#settle(eventId)
  }

  async #show(frame: RowFrame, shared: Item['shared']): Promise<void> {
    const events = this.#events
    const leader = !shared
    if (frame.type === 'notification') {
      const ctx = arrivalOf(frame, leader)
      const { notification, state, eventId } = ctx
      this.#remove(notification.replaces, notification.collapseKey, notification.id)
      const isCurrent = this.expiries.add({ ...notification, state, eventId, answer: ctx.answered })
      const raises =
        state === 'unread' && isCurrent && !notification.urgency?.endsWith('low') && !isAtOrBefore(frame.eventId, this.#toastedTo)
      const toast = leader && raises ? this.toasts.assign(ctx) : undefined
      this.#share(leader, frame, toast)
      if (!isCurrent) return
      // The user may have changed since.
      const notify = () => this.#isClosed || events.emit('notification', this.#answerable({ ...ctx }))
      // Toasts of a replay wait for its end.
      await (leader && toast === this.toasts.tab && !ctx.replay ? this.toasts.raise([ctx], false, notify) : notify())
      return
    }
    this.#share(leader, frame)
    if (frame.type === 'state') this.expiries.change(frame.ids, { state: frame.state })
    if (frame.type === 'answered') await this.#answered(frame, leader)
    if (frame.type === 'retract') {
      this.#remove(frame.id, frame.collapseKey)
      if (this.#expired.delete(frame.id)) return
    }
    const { type, ...row } = frame
    const ctx = { ...row, replay: !!frame.replay, leader, unread: this.unread, unseen: this.unseen }
    // Each of these frames has the fields of its event.
    await events.emit(type === 'state' ? 'marked' : type, ctx as BelfryEvents['marked' | 'retract' | 'digest' | 'answered'] as never)
  }

  /** Forgets a notification that is not shown any more, and those that `newest` replaces: none expires, and their toasts are dropped. */
  #remove(id: string | undefined, collapseKey?: string, newest?: string): void {
    if (!id && !collapseKey) return
    this.expiries.remove(id, collapseKey)
    this.toasts.drop(
      ({ notification: other }) => other.id === id || (collapseKey && other.collapseKey === collapseKey && other.id !== newest)
    )
  }

  /** A notification has expired: the service's retraction comes later, or not before there is a connection. */
  #expire(item: Tracked): void {
    const { id, state } = item
    this.#expired.set(id, item)
    this.#remove(id)
    const unread = Math.max(0, this.unread - Number(isUnread(state)))
    const unseen = Math.max(0, this.unseen - Number(state === 'unread'))
    this.count({ unread, unseen })
    this.#events.emit('retract', { id, reason: 'expired', unread, unseen, eventId: '', replay: false, leader: this.#isLeader })
  }

  /** A notification that expired here was answered in time if the service names an answer: shows it again. */
  async #answered({ id, action, answeredAt, deviceId, replay }: AnsweredFrame, leader: boolean): Promise<void> {
    const answered = { action, answeredAt, deviceId }
    this.expiries.change([id], { state: 'read', answer: answered })
    this.toasts.raised(id)
    const expired = this.#expired.get(id)
    if (!expired) return
    this.#expired.delete(id)
    const { eventId, state, answer, ...notification } = expired
    const ctx: Arrival = { notification, eventId, state: 'read', answered, replay: !!replay, leader }
    await this.#events.emit('notification', this.#answerable(ctx))
  }

  /** Adds `answer()`. It is not enumerable, so that apps can still post a context to a worker. */
  #answerable<T extends Arrival>(ctx: T): T & NotificationContext {
    const answer: NotificationContext['answer'] = (action) => this.#host.answer(ctx.notification.id, action)
    return Object.defineProperty(ctx, 'answer', { value: answer }) as T & NotificationContext
  }

  /** Sends a frame of this tab's connection to the other tabs, before the position moves. */
  #share(leader: boolean, frame: Item['frame'], toast = ''): void {
    if (leader) this.#host.tabs()?.post({ type: 'row', frame, unread: this.unread, unseen: this.unseen, toast })
  }

  /** Returns the counts after a row. Those of `hello` include rows up to `#countedTo`; `caughtUp` corrects those of a replay. */
  #countsAfter(frame: RowFrame): NamedCounts {
    const { unread, unseen, expiries } = this
    if (isAtOrBefore(frame.eventId, this.#countedTo)) return this
    if (frame.type !== 'notification') return { unread: frame.unread ?? unread, unseen: frame.unseen }
    const { replaces, expiresAt } = frame.notification
    if (frame.replay || expiries.isOver(expiresAt)) return this
    const replaced = replaces === undefined ? 'archived' : expiries.stateOf(replaces)
    // With a count of 0, one that this tab does not know was not counted either.
    return {
      unread: unread + Number(unread === 0 || !isUnread(replaced)),
      unseen: unseen + Number(unseen === 0 || replaced !== 'unread')
    }
  }

  /** Stores and acknowledges the position, unless another tab leads by now and does so. */
  #settle(eventId: string): void {
    if (!eventId || !this.#isLeader) return
    if (!isAfter(this.#storedAt, this.last)) this.memory.set('last', this.last)
    this.toasts.raisedTo(this.last)
    this.acks.moved(eventId)
  }
}

/** Returns '' for a gap, and for a row without a position. */
function eventIdOf(frame: Item['frame']): string {
  return 'eventId' in frame ? frame.eventId : ''
}

export function arrivalOf(frame: NotificationFrame, leader: boolean): Arrival {
  const { eventId, replay, notification, state = 'unread', answer } = frame
  return { eventId, notification, state, replay: !!replay, leader, ...(answer && { answered: answer }) }
}
