import { isOfStore } from '../errors.ts'
import type { Counters } from '../node/counters.ts'
import { increment } from '../node/counters.ts'
import { closeCodes, DEFAULT_DEVICE, type HelloFrame, type Position, parseEventId } from '../protocol/index.ts'
import { rowId8, rowKind } from '../store/row.ts'
import type { Backlog, ConnectionInfo, Start, Store } from '../store/store.ts'
import type { CursorWriter } from './cursor-writer.ts'
import { eventIdOf, Frame, plainFrame, Replay } from './frames.ts'
import type { LocalUser, Registry } from './registry.ts'
import type { Timeouts } from './timeouts.ts'
import type { Transport } from './transport.ts'

/** What all connections of a node share. */
export interface ConnectionContext {
  readonly node: string
  readonly store: Store
  readonly registry: Registry
  readonly queue: CursorWriter
  readonly counters: Counters
  readonly maxUnacked: number
  readonly maxFrameBytes: number
  readonly pingIntervalMs: number
  readonly timeouts: Timeouts
  /** Told of an error that is none of the store's: a fault, which costs the connection it came about in. */
  readonly onFault: (error: unknown) => void
}

/** Who connects. Times are Unix milliseconds. */
export interface Identity {
  user: string
  deviceId: string
  issuedAt: number
  expiresAt: number
  address: string
}

/**
 * `attach`: to be registered and read; `behind`: to be read from `sent`; `live`: `sent` is the top, wake-ups are sent as they come;
 * `closed`.
 */
type Stage = 'attach' | 'behind' | 'live' | 'closed'

/** A socket that holds back more than this is left behind until it drains, bytes. */
const MAX_BUFFERED = 65_536
/** Acknowledgements of what was never sent, before the connection is closed. */
const MAX_BAD_ACKS = 3

/**
 * A connection is a cursor over its user's log.
 *
 * It has `sent` and `acked` and no queue. Whatever brought it out of step (a new socket, a full window, a slow peer, a lost wake-up, a store
 * that was away) leads to the same place, `#step`: read the log from `sent` until it has caught up, then follow live. So a client sees a
 * contiguous run, and the fan-out cannot make a duplicate.
 */
export class Connection implements ConnectionInfo {
  readonly connectionId: string
  readonly deviceId: string
  readonly connectedAt: number
  readonly address: string
  readonly local: LocalUser
  /** When the token in use was issued, and when it expires. */
  issuedAt: number
  expiresAt: number
  /** Times below are milliseconds of the monotonic clock, which no step of the wall clock moves. When the peer last showed life, when it was last pinged, and when first of all that it did not answer. */
  heardAt: number
  pingedAt: number
  unansweredSince = 0
  /** Frames taken from the client since `heardSecond`, for the limit on frames a second. */
  framesHeard = 0
  heardSecond = 0
  /** Since when the network has taken nothing of what it holds back, and how much it had taken by the last beat. */
  stalledSince = 0
  takenBytes = 0

  readonly #context: ConnectionContext
  readonly #transport: Transport
  #stage: Stage = 'attach'
  /** A store call is under way: its answer steps on. */
  #busy = false
  #greeted = false
  readonly #openedAt: number
  #overLimitSince = 0
  readonly #start: Start
  #sent: Position = { epoch: '', offset: 0, id8: '' }
  /** Offset of the last row that made a frame: a client cannot acknowledge what lies after it. */
  #lastFrame = 0
  #acked = 0
  #badAcks = 0
  /** The count at the end of what was read last. */
  #unread = 0
  /** The log must be read even though nothing newer is known of: what was sent may not be what it holds. */
  #doubt = false

  constructor(context: ConnectionContext, transport: Transport, identity: Identity, start: Start, connectionId: string) {
    this.#context = context
    this.#transport = transport
    this.#start = start
    this.connectionId = connectionId
    this.deviceId = identity.deviceId
    this.address = identity.address
    this.issuedAt = identity.issuedAt
    this.expiresAt = identity.expiresAt
    this.connectedAt = Date.now()
    transport.owner = this
    this.#openedAt = performance.now()
    this.heardAt = this.#openedAt
    this.pingedAt = this.#openedAt
    this.local = context.registry.add(identity.user, this)
    context.counters.connects += 1
    this.#step()
  }

  get node(): string {
    return this.#context.node
  }

  get live(): boolean {
    return this.#stage === 'live'
  }

  /** The store has admitted it: the token was not revoked, and there was room. */
  get attached(): boolean {
    return this.#greeted && this.#stage !== 'closed'
  }

  get open(): boolean {
    return this.#stage !== 'closed'
  }

  get transport(): Transport {
    return this.#transport
  }

  /** A row of the user's log, from a wake-up. Sent if it is the next one; dropped if it was; else the log is read. */
  wake(epoch: string, offset: number, frame: Frame | undefined, id8: string): void {
    if (this.#stage !== 'live') return
    if (epoch === this.#sent.epoch && offset <= this.#sent.offset) return
    if (frame === undefined || epoch !== this.#sent.epoch || offset !== this.#sent.offset + 1 || !this.#hasRoom()) {
      this.#stage = 'behind'
      this.#step()
      return
    }
    this.#sent = { epoch, offset, id8 }
    this.#lastFrame = offset
    this.#context.counters.deliveredLive += 1
    this.#transport.send(frame)
    this.#moveByItself()
  }

  /** What was sent may not be what the log holds: read it again from there. */
  doubt(): void {
    this.#doubt = true
    if (this.#stage === 'live') this.#stage = 'behind'
    this.#step()
  }

  /** The registration may be gone: attach again from where the cursor is. */
  reattach(): void {
    if (this.#stage === 'closed') return
    this.#stage = 'attach'
    this.#step()
  }

  /** Goes on after something that held it up: room in the socket, the store's return, the clock. */
  resume(): void {
    this.#step()
  }

  /** The network took everything that was sent: whoever waited for that goes on. */
  handedOver(): void {
    this.#moveByItself()
    this.#step()
  }

  ack(eventId: string): void {
    const position = parseEventId(eventId)
    const ahead = position === undefined || position.offset > this.#sent.offset
    if (ahead || position.epoch !== this.#sent.epoch) {
      this.#context.counters.badAcks += 1
      if (++this.#badAcks >= MAX_BAD_ACKS) this.close('outOfStep')
      return
    }
    if (position.offset <= this.#acked) return
    this.#acked = position.offset >= this.#lastFrame ? this.#sent.offset : position.offset
    this.#context.counters.acks += 1
    this.#context.queue.ack(this.local.user, this.deviceId, position)
    this.#step()
  }

  send(frame: Frame): void {
    if (this.#stage !== 'closed') this.#transport.send(frame)
  }

  /** Says `bye`, closes, and leaves the registry. */
  close(name: keyof typeof closeCodes, reason: string = closeCodes[name].reason, reconnectInMs = 0): void {
    if (this.#stage === 'closed') return
    const { code } = closeCodes[name]
    this.#transport.send(plainFrame({ type: 'bye', code, reason, reconnectInMs }))
    this.#transport.close(code, reason)
    this.closed(code)
  }

  /** The transport is gone. */
  closed(code: number): void {
    if (this.#stage === 'closed') return
    this.#moveByItself()
    this.#stage = 'closed'
    this.#context.queue.settle(this.local.user, this.deviceId)
    increment(this.#context.counters.disconnects, code)
    this.#context.registry.remove(this.local, this)
  }

  /** The cursor of the shared device, or of a client that cannot answer, moves when the network took everything. */
  #moveByItself(): void {
    if (!this.#byItself || this.#acked === this.#sent.offset || this.#transport.buffered > 0) return
    this.#acked = this.#sent.offset
    this.#context.queue.ack(this.local.user, this.deviceId, this.#sent)
  }

  #hasRoom(): boolean {
    return this.#room() > 0 && this.#transport.buffered <= MAX_BUFFERED
  }

  get #byItself(): boolean {
    return this.#transport.oneWay || this.deviceId === DEFAULT_DEVICE
  }

  /** What no client acknowledges is held back by the socket alone: twice the window is about what that takes, in usual rows. */
  #room(): number {
    const { maxUnacked } = this.#context
    return (this.#byItself ? 2 * maxUnacked : maxUnacked) - (this.#sent.offset - this.#acked)
  }

  /** The one way on from wherever it stands. */
  #step(): void {
    if (this.#busy || this.#stage === 'live' || this.#stage === 'closed') return
    if (this.#stage === 'attach') {
      void this.#ask(() => this.#attach())
      return
    }
    const { epoch, top } = this.local
    if (!this.#doubt && epoch === this.#sent.epoch && top <= this.#sent.offset) {
      this.#stage = 'live'
      this.#transport.send(new Frame('', `{"type":"caughtUp","eventId":"${eventIdOf(this.#sent)}","unread":${this.#unread}}`))
    } else if (this.#hasRoom()) {
      this.#doubt = false
      void this.#ask(() => this.#read())
    }
  }

  /** What the store could not do is done again at the next beat; what was to be found out still is. */
  async #ask(step: () => Promise<void>): Promise<void> {
    this.#busy = true
    try {
      await step()
    } catch (error) {
      if (isOfStore(error)) return this.#storeAway()
      this.#context.onFault(error)
      this.close('serverError')
    }
  }

  #storeAway(): void {
    this.#busy = false
    this.#doubt = true
    if (!this.#greeted && performance.now() - this.#openedAt > this.#context.timeouts.attachMs) this.close('storeAway')
  }

  async #attach(): Promise<void> {
    const { user } = this.local
    const limit = Math.max(1, this.#room())
    this.#context.counters.reads += 1
    const result = await this.#context.store.attach({
      user,
      deviceId: this.deviceId,
      start: this.#greeted ? { at: 'position', position: this.#sent } : this.#start,
      connections: this.local.listed(),
      issuedAt: this.issuedAt,
      seen: this.local.lastSeen(),
      limit
    })
    if (this.#stage === 'closed') return
    if (result.status === 'revoked') return this.close('unauthorized', 'token_revoked')
    if (result.status === 'limit') return this.#overLimit()
    this.#overLimitSince = 0
    if (!this.#greeted) this.#greet(result.backlog)
    this.#stage = 'behind'
    this.#take(result.backlog)
  }

  /** One that was there before stays: the newcomer that is one too many is listed until its own attach is refused. Then there is room again. */
  #overLimit(): void {
    this.#busy = false
    const now = performance.now()
    this.#overLimitSince ||= now
    if (!this.#greeted || now - this.#overLimitSince > this.#context.timeouts.attachMs) this.close('connectionLimit')
  }

  async #read(): Promise<void> {
    const { user } = this.local
    this.#context.counters.reads += 1
    this.#take(await this.#context.store.read({ user, position: this.#sent, seen: this.local.lastSeen(), limit: this.#room() }))
  }

  #greet(backlog: Backlog): void {
    const { maxUnacked, maxFrameBytes, pingIntervalMs, timeouts, node } = this.#context
    this.#greeted = true
    this.#sent = backlog.start
    this.#acked = backlog.start.offset
    const hello: HelloFrame = {
      type: 'hello',
      connectionId: this.connectionId,
      deviceId: this.deviceId,
      user: this.local.user,
      node,
      serverTime: Date.now(),
      heartbeat: { intervalMs: pingIntervalMs, timeoutMs: timeouts.pongMs },
      resume: {
        status: backlog.gap !== undefined ? 'gap' : backlog.resumed ? 'resumed' : 'fresh',
        from: eventIdOf(backlog.start),
        to: eventIdOf({ epoch: backlog.epoch, offset: backlog.top, id8: backlog.topId8 }),
        pending: backlog.top - backlog.start.offset,
        parked: backlog.parked
      },
      unread: backlog.unread,
      tokenExpiresAt: this.expiresAt,
      limits: { maxFrameBytes, maxUnacked }
    }
    this.#transport.send(plainFrame(hello))
  }

  #take(backlog: Backlog): void {
    this.#busy = false
    if (this.#stage === 'closed') return
    this.local.observe(backlog.epoch, backlog.top)
    this.#unread = backlog.unread
    if (backlog.gap !== undefined) {
      this.#gap(backlog.gap)
      this.#acked = backlog.start.offset
      this.#lastFrame = backlog.start.offset
    }
    this.#sent = backlog.start
    this.#replay(backlog)
    this.handedOver()
  }

  #replay(backlog: Backlog): void {
    const { epoch, start, rows } = backlog
    const replay = new Replay(backlog)
    let offset = start.offset
    let lost = 0
    for (const [index, row] of rows.entries()) {
      if (rowKind(row) === '~') lost += 1
      else if (lost > 0) lost = this.#lost(epoch, offset, lost)
      const frame = replay.frame(index)
      const clear = this.#acked >= this.#lastFrame
      offset += 1
      if (frame !== undefined) {
        this.#lastFrame = offset
        this.#context.counters.deliveredReplay += 1
        this.#transport.send(frame)
      } else if (clear) this.#acked = offset
    }
    const last = rows.at(-1)
    if (last !== undefined) this.#sent = { epoch, offset, id8: rowId8(last) }
    if (lost > 0) this.#lost(epoch, offset, lost)
  }

  #lost(epoch: string, last: number, count: number): number {
    const at = (offset: number): string => eventIdOf({ epoch, offset, id8: '' })
    this.#gap({ reason: 'lost', from: at(last - count + 1), to: at(last), count })
    return 0
  }

  #gap(gap: NonNullable<Backlog['gap']>): void {
    increment(this.#context.counters.gaps, gap.reason)
    this.#transport.send(plainFrame({ type: 'gap', ...gap }))
  }
}
