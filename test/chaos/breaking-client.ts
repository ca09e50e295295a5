import { setTimeout as pause } from 'node:timers/promises'
import { signToken } from '../../services/auth/signing.ts'
import { type HelloFrame, parseEventId, type RowFrame, type ServerFrame } from '../../services/protocol/index.ts'
import { Answering, type AnswerReply } from './answering.ts'
import type { ChaosNode } from './chaos-node.ts'
import type { AnswerAttempt, ClientConnection, ClientJournal, DeviceEvent, DeviceJournal } from './journal.ts'
import { markOneByOne } from './marking.ts'
import { isOfAnotherLog } from './plain-client.ts'
import { openStream, openWebSocket, type Wire, type WireTarget } from './plain-wire.ts'
import { dice } from './schedule.ts'
import { ShownList, shownOptions } from './shown-list.ts'
import { SECRET, type World } from './world.ts'

/**
 * The kinds of clients without the SDK.
 * `guide`: acknowledges every frame and `caughtUp`, as docs/guides/consuming.md shows, and resumes at the device's cursor.
 * `sparse`: acknowledges a frame when half of its window is in flight, and never `caughtUp`.
 * `resuming`: like `sparse`, but resumes with `last_event_id` every other time, and acknowledges that position before any row arrives.
 * `shared`: a WebSocket without a `device_id`. `stream`: an event stream. Neither acknowledges.
 */
type Habit = 'guide' | 'sparse' | 'resuming' | 'shared' | 'stream'

/** The ways in which the client breaks its connection. */
type Break = 'reset' | 'close' | 'linger'

/** Mean time from `hello` to a break, milliseconds. */
const LIFE_MS = 5000
/** Part of the connections that are reset as soon as `hello` arrived. */
const BROKEN_AT_HELLO = 0.15
/** Part of the breaks before which the client stops reading for a time. */
const STALLED = 0.5
const STALL_MS = 3000
/** Longest time for which a client that closed stops reading, which delays the end of the TCP connection, milliseconds. */
const LINGER_MS = 1500
const RETRY_MS = 300
/** Part of the absences that are long. */
const LONG_ABSENCES = 0.3
const LONG_ABSENCE_MS = 5000
const POLL_MS = 50

/** A client without the SDK that breaks its own connections at random moments, with a journal of each connection. */
export class BreakingClient {
  readonly user: string
  readonly device: string
  readonly events: DeviceEvent[] = []
  readonly connections: ClientConnection[] = []
  readonly #world: World
  readonly #habit: Habit
  readonly #random: () => number
  readonly #seen = new Set<string>()
  readonly #list = new ShownList()
  readonly #answering: Answering
  readonly #replies = new Map<number, (reply: AnswerReply | undefined) => void>()
  #ref = 0
  /** The newest event id in a frame to the client. */
  #lastEventId = ''
  /** The newest event id of the log that the client knows, also from `hello` or a gap. */
  #known = ''
  #unread = 0
  #unseen = 0
  #isCaughtUp = false
  #quiet = true
  /** Starts to break the current connection, if there is one. */
  #breakCurrent: () => void = () => undefined
  #stopped = false
  #wire: Wire | undefined
  #isOpen = false
  #lastShown = ''
  #unacknowledged = 0
  #window = 0

  constructor(world: World, user: string, habit: Habit, seed: number) {
    this.#world = world
    this.user = user
    this.device = habit === 'shared' ? 'default' : habit
    this.#habit = habit
    this.#random = dice(seed)
    this.#answering = new Answering(user, this.device, dice(seed + 611_953), (id, action) => this.#answer(id, action))
  }

  /** True if the client acknowledges. Rows that it has not acknowledged are sent again. */
  get acknowledges(): boolean {
    return this.#habit !== 'shared' && this.#habit !== 'stream'
  }

  place(): { lastEventId: string; isConnected: boolean } {
    return { lastEventId: this.#lastEventId, isConnected: this.#isCaughtUp }
  }

  start(): void {
    void this.#run()
  }

  /** Makes the client break its connections from now on. */
  disturb(): void {
    this.#quiet = false
    this.#breakCurrent()
  }

  get answers(): AnswerAttempt[] {
    return this.#answering.attempts
  }

  /** Makes the client keep its connections from now on, and stops it from answering. Resolves when every answer has a reply or has failed. */
  async quiet(): Promise<void> {
    this.#quiet = true
    await this.#answering.quiet()
  }

  stop(): void {
    this.#stopped = true
    this.#wire?.close()
    this.#note('connecting')
  }

  journal(): ClientJournal {
    const { user, device, acknowledges, connections } = this
    const gaps = this.events.filter((event) => event.type === 'gap')
    return { user, device, acknowledges, connections, gaps, isCaughtUp: this.#isCaughtUp }
  }

  /** Returns the journal of a device. Only for clients that acknowledge: the others may miss rows. */
  deviceJournal(): DeviceJournal {
    const { user, device, events } = this
    return { user, device, events, unread: this.#unread, unseen: this.#unseen, lastEventId: this.#lastEventId }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const node = this.#node()
      if (node !== undefined) await this.#connect(node.index, node.port)
      await this.#absence()
    }
  }

  #node(): ChaosNode | undefined {
    const { listening } = this.#world
    return listening[Math.floor(this.#random() * listening.length)]
  }

  /** Waits before the next connection; during a long absence another device of the user marks their notifications. */
  async #absence(): Promise<void> {
    const isLong = this.#random() < LONG_ABSENCES
    const end = Date.now() + (isLong ? LONG_ABSENCE_MS : RETRY_MS) * (0.2 + this.#random())
    if (isLong && this.acknowledges && !this.#quiet) await markOneByOne(this.#world, () => this.#node()?.port ?? 0, this.user)
    while (Date.now() < end && !this.#stopped && !(isLong && this.#quiet)) await pause(POLL_MS)
  }

  /** Opens a connection and waits for its end. */
  async #connect(node: number, port: number): Promise<void> {
    const asked = this.#habit === 'resuming' && this.#lastShown !== '' && this.#random() < 0.5 ? this.#lastShown : ''
    const connection: ClientConnection = {
      node,
      openedAt: Date.now(),
      asked: asked !== '',
      received: [],
      end: 'broken',
      endedAt: 0,
      inFlight: 0
    }
    const query: Record<string, string> = this.#habit === 'shared' ? {} : { device_id: this.device }
    if (asked !== '') query.last_event_id = asked
    const target: WireTarget = { port, token: signToken(SECRET, this.user), query }
    let ended = false
    let greeted = false
    const open = this.#habit === 'stream' ? openStream : openWebSocket
    let over: (code: number) => void = () => undefined
    const end = new Promise<number>((resolve) => {
      over = resolve
    })
    const wire = open(target, {
      open: () => this.events.push({ type: 'connected', at: Date.now(), node, ...(asked === '' && { atCursor: true }) }),
      frame: (frame) => {
        if (frame.type === 'hello' && !greeted) {
          greeted = true
          this.connections.push(connection)
          this.#breakCurrent = () => void this.#break(wire, connection, () => ended)
          if (!this.#quiet) this.#breakCurrent()
        }
        this.#take(frame, connection, wire)
      },
      end: (code) => {
        ended = true
        over(code)
      }
    })
    this.#wire = wire
    this.#isOpen = true
    const code = await end
    this.#isOpen = false
    this.#breakCurrent = () => undefined
    if (code !== 1000 && connection.end === 'closed') Object.assign(connection, { end: 'broken', inFlight: undefined })
    connection.endedAt ||= Date.now()
    for (const ref of [...this.#replies.keys()]) this.#settle(ref, undefined)
    this.#isCaughtUp = false
    this.#note('connecting')
  }

  /** Breaks the connection some time after `hello`, half of the times after a pause without reading. */
  async #break(wire: Wire, connection: ClientConnection, ended: () => boolean): Promise<void> {
    const random = this.#random
    const until = Date.now() + (random() < BROKEN_AT_HELLO ? 0 : 2 * LIFE_MS * random())
    while (Date.now() < until && !ended() && !this.#quiet) await pause(POLL_MS)
    if (ended() || this.#quiet) return
    const kind = (['reset', 'close', 'linger'] as Break[])[Math.floor(random() * 3)] as Break
    if (random() < STALLED) {
      this.#note('slow')
      connection.inFlight = undefined
      wire.pause()
      const stalledUntil = Date.now() + (0.3 + random()) * STALL_MS
      while (Date.now() < stalledUntil && !ended() && !this.#quiet) await pause(POLL_MS)
      this.#note('brisk')
    }
    if (ended()) return
    if (kind === 'reset') {
      connection.inFlight = wire.reset()
      connection.end = 'reset'
      connection.endedAt = Date.now()
      return
    }
    connection.end = 'closed'
    connection.inFlight = 0
    this.#note('slow')
    if (kind === 'linger') wire.pause()
    wire.close()
    if (kind === 'linger') await pause(LINGER_MS * random())
    wire.resume()
    this.#note('brisk')
  }

  #take(frame: ServerFrame, connection: ClientConnection, wire: Wire): void {
    if (isRow(frame)) this.#row(frame.eventId, frame, connection, wire)
    switch (frame.type) {
      case 'hello':
        connection.from = parseEventId(frame.resume.from)
        this.#begin(frame.resume)
        this.#count(frame)
        this.#window = frame.limits.maxUnacked
        this.#unacknowledged = 0
        if (connection.asked) this.#acknowledge(frame.resume.from, connection, wire)
        break
      case 'ping':
        wire.send({ type: 'pong', time: frame.time })
        break
      case 'gap':
        this.events.push({ type: 'gap', at: Date.now(), reason: frame.reason, from: frame.from, to: frame.to, count: frame.count })
        if (frame.reason === 'epoch') this.#known = frame.to
        break
      case 'ok':
      case 'error':
        if (frame.ref !== undefined) this.#settle(frame.ref, frame)
        break
      case 'caughtUp':
        this.#count(frame)
        this.#isCaughtUp = true
        this.#reached(frame.eventId, connection)
        if (this.#habit === 'guide') this.#acknowledge(frame.eventId, connection, wire)
        this.events.push({ type: 'caughtUp', at: Date.now(), node: connection.node })
        break
      case 'bye':
        if (frame.code >= 4000 && frame.code < 4100 && frame.code !== 4001)
          this.events.push({ type: 'terminal', at: Date.now(), code: frame.code, reason: frame.reason })
        break
      default:
    }
  }

  /** Notes a gap if the service takes this device for a new one, because the store lost its cursor with the log: no `gap` frame follows. */
  #begin({ status, from }: HelloFrame['resume']): void {
    if (status === 'fresh' && isOfAnotherLog(this.#known, from))
      this.events.push({ type: 'gap', at: Date.now(), reason: 'fresh', from: this.#known, to: from, count: 0 })
    this.#known = from
  }

  #row(eventId: string, frame: RowFrame, connection: ClientConnection, wire: Wire): void {
    const now = Date.now()
    const added = this.#list.apply(frame)
    this.#reached(eventId, connection)
    if (frame.type === 'notification') {
      const { id } = frame.notification
      const bytes = JSON.stringify(frame).length
      connection.received.push(id)
      connection.bytes = Math.min(connection.bytes ?? bytes, bytes)
      if (frame.replay === undefined) {
        this.#unread += added.unread
        this.#unseen += added.unseen
      }
      if (!this.#seen.has(id)) {
        this.#seen.add(id)
        this.#lastShown = eventId
        this.events.push({
          type: 'shown',
          at: now,
          id,
          eventId,
          replay: frame.replay === true,
          ...shownOptions(frame.notification, frame.answer)
        })
        if (this.#habit !== 'stream') this.#answering.shown(frame.notification)
      }
    } else if (frame.type === 'retract') {
      const { id, reason, collapseKey } = frame
      this.events.push({ type: 'retract', at: now, id, reason, ...(collapseKey !== undefined && { collapseKey }) })
    } else if (frame.type === 'answered') {
      const { id, action, answeredAt, deviceId } = frame
      this.events.push({ type: 'answered', at: now, id, answer: { action, answeredAt, deviceId } })
    } else if (frame.type === 'digest') this.events.push({ type: 'digest', at: now, ids: frame.ids })
    if (frame.type !== 'notification') this.#count(frame)
    this.#unacknowledged += 1
    if (this.#habit !== 'guide' && this.#unacknowledged < this.#window / 2) return
    this.#unacknowledged = 0
    this.#acknowledge(eventId, connection, wire)
  }

  #count({ unread, unseen }: { unread: number; unseen?: number }): void {
    this.#unread = unread
    this.#unseen = unseen ?? this.#unseen
  }

  #reached(eventId: string, connection: ClientConnection): void {
    const position = parseEventId(eventId)
    if (position === undefined) return
    this.#lastEventId = eventId
    this.#known = eventId
    connection.through = position.offset
  }

  #acknowledge(eventId: string, connection: ClientConnection, wire: Wire): void {
    const offset = parseEventId(eventId)?.offset
    if (!this.acknowledges || offset === undefined) return
    wire.send({ type: 'ack', eventId })
    connection.acknowledged ??= []
    connection.acknowledged.push({ offset, at: Date.now() })
  }

  #answer(id: string, action: string): Promise<AnswerReply | undefined> {
    return new Promise((resolve) => {
      const ref = ++this.#ref
      this.#replies.set(ref, resolve)
      if (this.#isOpen) this.#wire?.send({ type: 'answer', ref, id, action })
      else this.#settle(ref, undefined)
    })
  }

  #settle(ref: number, reply: AnswerReply | undefined): void {
    this.#replies.get(ref)?.(reply)
    this.#replies.delete(ref)
  }

  #note(type: 'connecting' | 'slow' | 'brisk'): void {
    const at = Date.now()
    this.events.push(type === 'connecting' ? { type, at, node: -1 } : { type, at })
  }
}

function isRow(frame: ServerFrame): frame is RowFrame {
  return 'eventId' in frame && frame.type !== 'caughtUp'
}

/** Makes two clients for each user: one that acknowledges and one that does not, of all kinds by turns. */
export function makeBreakingClients(world: World, users: string[], seed: number): BreakingClient[] {
  const acknowledging: Habit[] = ['sparse', 'guide', 'resuming']
  const others: Habit[] = ['shared', 'stream']
  return users.flatMap((user, number) =>
    [acknowledging[number % 3] as Habit, others[number % 2] as Habit].map(
      (habit, which) => new BreakingClient(world, user, habit, seed + 15_485_863 * (number + 1) + which)
    )
  )
}
