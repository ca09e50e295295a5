import { isOfStore } from '../errors.ts'
import { increment } from '../node/counters.ts'
import { type CloseName, closeCodes, DEFAULT_DEVICE, formatEventId, type Position, parseEventId } from '../protocol/index.ts'
import { rowId8, rowKind } from '../store/row.ts'
import type { Backlog, ReadCommand, Start } from '../store/store.ts'
import type { ConnectionContext, Identity } from './context.ts'
import { Frame, plainFrame, Replay } from './frames.ts'
import { Heartbeat } from './heartbeat.ts'
import { helloFrame } from './hello.ts'
import type { LocalConnection, LocalUser } from './local-user.ts'
import { SendWindow } from './send-window.ts'
import type { Transport, TransportOwner } from './transport.ts'

/**
 * The state of a connection.
 * `attach`: the connection must register in the store and read its backlog. `behind`: it must read the log after `sent`.
 * `live`: `sent` is the newest row, and wake-ups are forwarded as they arrive. `closed`: final.
 */
type Stage = 'attach' | 'behind' | 'live' | 'closed'

/** Bytes a socket may hold. A connection at this bound sends nothing more until its socket drains. */
const MAX_BUFFERED = 65_536
/** Acknowledgements of rows that were never sent. At this number the connection closes. */
const MAX_BAD_ACKS = 3
/** Consecutive reads that end in a gap, or return no row although the log has more. Above this number the connection closes. */
const MAX_FRUITLESS_READS = 5
/** Duration of a read above which its rows may have expired on their way, milliseconds. */
const SLOW_READ_MS = 1000
/** The reason sent to a connection that a newer connection of the same device displaces. */
const DISPLACED = 'connection limit: a newer connection of the device took this place'

/**
 * One connection of a device: a cursor over the log of its user.
 *
 * A connection keeps the position of the newest row sent, `sent`, and no queue of rows. Every interruption (a new socket, a full window, a slow
 * peer, a lost wake-up, a store failure) is handled by the same method, `#step`: it reads the log after `sent` until the connection is caught up,
 * then forwards wake-ups. So a client receives a contiguous run of rows, and the fan-out cannot cause a duplicate.
 */
export class Connection implements LocalConnection, TransportOwner {
  readonly connectionId: string
  readonly deviceId: string
  readonly connectedAt: number
  readonly address: string
  readonly local: LocalUser
  readonly heartbeat: Heartbeat

  readonly #context: ConnectionContext
  readonly #transport: Transport
  /** On the monotonic clock, milliseconds. */
  readonly #openedAt: number
  #stage: Stage = 'attach'
  /** A store call is in progress. The next step runs after its answer. */
  #isBusy = false
  #greeted = false
  /** `reattach` was called during a store call: an attach that began earlier may be lost, and is repeated. */
  #attachAgain = false
  /** Time of the first refusal for the connection limit, on the monotonic clock; 0: none. */
  #overLimitSince = 0
  readonly #start: Start
  /** Issue and expiry of the token in use, Unix milliseconds. */
  #issuedAt: number
  #expiresAt: number
  #sent: Position = { epoch: '', offset: 0, id8: '' }
  readonly #window = new SendWindow()
  #badAcks = 0
  #fruitlessReads = 0
  /** The counts that the last read returned. */
  #unread = 0
  #unseen = 0
  /** The log must be read although the node knows no newer row: the log may hold other rows than those sent. */
  #doubt = false

  constructor(context: ConnectionContext, transport: Transport, identity: Identity, start: Start, connectionId: string) {
    this.#context = context
    this.#transport = transport
    this.#start = start
    this.connectionId = connectionId
    this.deviceId = identity.deviceId
    this.address = identity.address
    this.#issuedAt = identity.issuedAt
    this.#expiresAt = identity.expiresAt
    this.connectedAt = Date.now()
    this.#openedAt = performance.now()
    this.heartbeat = new Heartbeat(context, transport, this.#openedAt)
    transport.owner = this
    this.local = context.registry.add(identity.user, this)
    context.counters.connects += 1
    context.log.opened(this)
    this.#step()
  }

  get node(): string {
    return this.#context.node
  }

  get isOpen(): boolean {
    return this.#stage !== 'closed'
  }

  get transport(): Transport {
    return this.#transport
  }

  /** The newest row sent. */
  get sent(): Position {
    return this.#sent
  }

  /** Takes a row from a wake-up. The connection sends the row if it is the next one, drops a row that it sent before, and otherwise reads the log. */
  wake(position: Position, frame: Frame | undefined): void {
    if (this.#stage !== 'live') return
    const { epoch, offset } = position
    if (epoch === this.#sent.epoch && offset <= this.#sent.offset) return
    if (frame === undefined || epoch !== this.#sent.epoch || offset !== this.#sent.offset + 1 || !this.#hasRoom()) {
      this.#stage = 'behind'
      this.#step()
      return
    }
    this.#sent = position
    this.#window.push(offset)
    this.#context.counters.deliveredLive += 1
    this.#transport.send(frame)
  }

  /** Reads the log again after `sent`: the log may hold other rows than those sent. */
  doubt(): void {
    this.#doubt = true
    if (this.#stage === 'live') this.#stage = 'behind'
    this.#step()
  }

  /** Attaches again from `sent`: the registration in the store may be lost. */
  reattach(): void {
    if (this.#stage === 'closed') return
    this.#stage = 'attach'
    this.#attachAgain = this.#isBusy
    this.#step()
  }

  /** Retries the step that a store failure interrupted. */
  resume(): void {
    this.#step()
  }

  /** Closes or pings if that is due, and retries a step that failed. `now` is on the monotonic clock. */
  beat(now: number, ping: Frame): void {
    if (Date.now() >= this.#expiresAt) return this.close('unauthorized', 'token_expired')
    const action = this.heartbeat.beat(now)
    if (action === 'ping') this.#transport.ping(ping)
    else if (action !== undefined) return this.close(action)
    this.#step()
  }

  /** Moves a cursor that no client acknowledges. A row counts as received only when the socket reported its bytes as written. */
  written(through: Position): void {
    if (this.#stage === 'closed') return
    if (this.#isSelfMoving && this.#window.acknowledge(through, this.#sent) === 'moved') this.#moveCursor(through)
    this.#step()
  }

  /** Uses another token of the same user from now on. Times are Unix milliseconds. */
  renewToken(issuedAt: number, expiresAt: number): void {
    this.#issuedAt = issuedAt
    this.#expiresAt = expiresAt
  }

  /** Takes an acknowledgement. Returns whether it is the first one for rows that were sent: the limit on frames does not count those. */
  ack(eventId: string): boolean {
    const position = parseEventId(eventId)
    const outcome = position === undefined ? 'unknown' : this.#window.acknowledge(position, this.#sent)
    if (position === undefined || outcome === 'unknown') {
      this.#context.counters.badAcks += 1
      if (++this.#badAcks >= MAX_BAD_ACKS) this.close('outOfStep')
      return false
    }
    if (outcome === 'moved' || outcome === 'behind') {
      this.#context.counters.acks += 1
      this.#moveCursor(position)
      this.#step()
    }
    return outcome === 'moved' || outcome === 'late'
  }

  send(frame: Frame): void {
    if (this.#stage !== 'closed') this.#transport.send(frame)
  }

  /** Sends `bye`, closes the transport, and removes the connection from the registry. */
  close(name: CloseName, reason: string = closeCodes[name].reason, reconnectInMs = 0): void {
    if (this.#stage === 'closed') return
    const { code } = closeCodes[name]
    this.#transport.close({ type: 'bye', code, reason, reconnectInMs })
    this.closed(code, reason)
  }

  /** Closes for a newer connection of the same device. */
  displace(): void {
    this.close('connectionLimit', DISPLACED)
  }

  /** Called when the transport ended. Rows that it did not report as written move no cursor. */
  closed(code: number, reason = ''): void {
    if (this.#stage === 'closed') return
    this.#context.log.closed(this, code, reason)
    this.#stage = 'closed'
    this.#context.cursors.settle(this.local.user, this.deviceId)
    increment(this.#context.counters.disconnects, code)
    this.#context.registry.remove(this.local, this)
  }

  #moveCursor(position: Position): void {
    this.#context.cursors.ack(this.local.user, this.deviceId, position)
  }

  #hasRoom(): boolean {
    return this.#roomInWindow() > 0 && this.#transport.buffered < MAX_BUFFERED
  }

  /** No client acknowledges: an event stream is one-way, and the default device is shared. Bytes that were written move the cursor. */
  get #isSelfMoving(): boolean {
    return this.#transport.isOneWay || this.deviceId === DEFAULT_DEVICE
  }

  /** Returns how many frames may be sent. Twice the window of typical rows is about 64 KB, so that `MAX_BUFFERED` bounds a cursor that moves itself. */
  #roomInWindow(): number {
    const { maxUnacked } = this.#context
    return (this.#isSelfMoving ? 2 * maxUnacked : maxUnacked) - this.#window.inFlight
  }

  /** Returns the bounds of a read: what the window and the socket have room for. */
  #bounds(): Pick<ReadCommand, 'limit' | 'bytes'> {
    const bytes = MAX_BUFFERED - this.#transport.buffered
    return { limit: bytes > 0 ? Math.max(0, this.#roomInWindow()) : 0, bytes: Math.max(1, bytes) }
  }

  get #isCaughtUp(): boolean {
    return this.local.isNewest(this.#sent)
  }

  /** Runs the next step of the current stage, unless a store call is in progress. */
  #step(): void {
    if (this.#isBusy || this.#stage === 'live' || this.#stage === 'closed') return
    if (this.#stage === 'attach') void this.#callStore(() => this.#attach())
    else if (!this.#doubt && this.#isCaughtUp) {
      this.#stage = 'live'
      const eventId = formatEventId(this.#sent)
      const counts = `"unread":${this.#unread},"unseen":${this.#unseen}`
      this.#transport.send(new Frame(eventId, `{"type":"caughtUp","eventId":"${eventId}",${counts}}`))
    } else if (this.#hasRoom()) {
      this.#doubt = false
      void this.#callStore(() => this.#read())
    }
  }

  /** Runs a step that calls the store. On a store failure the step is retried at the next heartbeat; `#doubt` stays set. */
  async #callStore(step: () => Promise<void>): Promise<void> {
    this.#isBusy = true
    try {
      await step()
    } catch (error) {
      if (isOfStore(error)) return this.#waitForStore()
      this.#context.onFault(error)
      this.close('serverError')
    }
  }

  #waitForStore(): void {
    this.#isBusy = false
    this.#doubt = true
    if (!this.#greeted && performance.now() - this.#openedAt > this.#context.timeouts.attachMs) this.close('storeAway')
  }

  async #attach(): Promise<void> {
    const { user } = this.local
    const askedAt = performance.now()
    this.#attachAgain = false
    this.#context.counters.reads += 1
    const result = await this.#context.store.attach({
      user,
      deviceId: this.deviceId,
      start: this.#greeted ? { at: 'position', position: this.#sent } : this.#start,
      connections: this.local.listed(),
      newcomer: this.#greeted ? undefined : this.connectionId,
      received: this.#greeted ? this.#window.received : undefined,
      issuedAt: this.#issuedAt,
      seen: this.local.lastSeen(),
      ...this.#bounds()
    })
    if (this.#stage === 'closed') return
    if (result.status === 'revoked') return this.close('unauthorized', 'token_revoked')
    if (result.status === 'limit') return this.#refuseOrRetry(result.silentMs, askedAt)
    this.#overLimitSince = 0
    this.#context.registry.attached(this.local, !this.#greeted)
    for (const connectionId of result.displaced) this.local.find(connectionId)?.displace()
    if (!this.#greeted) this.#greet(result.backlog)
    if (!this.#attachAgain) this.#stage = 'behind'
    this.#takeBacklog(result.backlog, askedAt)
  }

  /**
   * Closes, or retries later, after an attach that the store refused for the connection limit.
   *
   * The refusal of a new connection is final when every node that holds connections of the user sent a heartbeat after the first refusal: then
   * none of them is left over from a dead node. If a node stays silent, the refusal is temporary. An older connection retries for longer, because
   * a new connection over the limit counts until its own attach is refused.
   */
  #refuseOrRetry(silentMs: number | undefined, askedAt: number): void {
    this.#isBusy = false
    this.#overLimitSince ||= askedAt
    const waitedMs = askedAt - this.#overLimitSince
    const isCertain = silentMs === undefined || silentMs < waitedMs
    const { attachMs, limitMs } = this.#context.timeouts
    const isOver = waitedMs > (this.#greeted ? attachMs : limitMs)
    if (isOver || (isCertain && !this.#greeted)) this.close(isCertain ? 'connectionLimit' : 'connectionLimitForNow')
  }

  async #read(): Promise<void> {
    const command = { user: this.local.user, position: this.#sent, seen: this.local.lastSeen(), ...this.#bounds() }
    const askedAt = performance.now()
    this.#context.counters.reads += 1
    const backlog = await this.#context.store.read(command)
    const isFruitless = backlog.gap !== undefined || (backlog.rows.length === 0 && backlog.top > backlog.start.offset)
    this.#fruitlessReads = isFruitless ? this.#fruitlessReads + 1 : 0
    if (this.#fruitlessReads > MAX_FRUITLESS_READS) {
      throw new Error(`${MAX_FRUITLESS_READS} reads of the log after ${formatEventId(command.position)} made no progress`)
    }
    this.#takeBacklog(backlog, askedAt)
  }

  #greet(backlog: Backlog): void {
    const isStored = this.#isSelfMoving && this.#start.at === 'device' && backlog.resumed && backlog.gap === undefined
    this.#greeted = true
    this.#window.restart(backlog.start, this.#sent, isStored)
    this.#sent = backlog.start
    const { connectionId, deviceId, local } = this
    const hello = helloFrame(this.#context, { connectionId, deviceId, user: local.user, tokenExpiresAt: this.#expiresAt }, backlog)
    this.#transport.send(plainFrame(hello))
    this.heartbeat.start(performance.now())
    this.#transport.listen()
  }

  /** @param askedAt when the read began, on the monotonic clock */
  #takeBacklog(backlog: Backlog, askedAt: number): void {
    this.#isBusy = false
    if (this.#stage === 'closed') return
    this.local.observe({ epoch: backlog.epoch, offset: backlog.top, id8: backlog.topId8 }, this)
    this.local.expireIn(backlog.expiresInMs)
    this.#unread = backlog.unread
    this.#unseen = backlog.unseen
    if (backlog.gap !== undefined) {
      this.#sendGap(backlog.gap)
      this.#window.restart(backlog.start, this.#sent)
    }
    this.#sent = backlog.start
    const isSlow = performance.now() - askedAt > SLOW_READ_MS
    this.#replay(backlog, new Replay(backlog, isSlow ? this.#context.store.now() : undefined))
    this.#step()
  }

  /** Sends the rows that were read. If the socket is full before the last row, the connection reads the remaining rows again later. */
  #replay({ epoch, start, rows }: Backlog, replay: Replay): void {
    let { offset } = start
    let lost = 0
    for (const [index, row] of rows.entries()) {
      if (!this.#hasRoom()) this.#transport.flush()
      if (!this.#hasRoom()) break
      if (rowKind(row) === '~') lost += 1
      else if (lost > 0) {
        this.#sendLost(epoch, offset, lost)
        lost = 0
      }
      const frame = replay.frame(index)
      offset += 1
      this.#sent = { epoch, offset, id8: rowId8(row) }
      if (frame === undefined) continue
      this.#window.push(offset)
      this.#context.counters.deliveredReplay += 1
      this.#transport.send(frame)
    }
    if (lost > 0) this.#sendLost(epoch, offset, lost)
  }

  /** Sends the gap of `count` lost rows, the last of which has the offset `last`. */
  #sendLost(epoch: string, last: number, count: number): void {
    const at = (offset: number): string => formatEventId({ epoch, offset, id8: '' })
    this.#sendGap({ reason: 'lost', from: at(last - count + 1), to: at(last), count })
  }

  #sendGap(gap: NonNullable<Backlog['gap']>): void {
    increment(this.#context.counters.gaps, gap.reason)
    this.#transport.send(plainFrame({ type: 'gap', ...gap }))
  }
}
