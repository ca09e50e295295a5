import type { CloseName } from '../protocol/index.ts'
import type { Timeouts } from './timeouts.ts'
import type { Transport } from './transport.ts'

/** Frames a client may send in any second. */
const MAX_FRAMES_PER_SECOND = 50
const SECOND_MS = 1000

/** Pings whose pongs may still arrive. The pongs of a slow network may arrive together. */
const MAX_PONGS_DUE = 50

/** Part of the lifetime of a stream that is random, so that streams which began together do not end together. */
const STREAM_SPREAD = 0.2

export interface HeartbeatOptions {
  readonly pingIntervalMs: number
  readonly timeouts: Timeouts
}

/**
 * Tracks whether one peer is alive, and counts its frames. Every time is on the monotonic clock, milliseconds: a step of the wall clock neither
 * ends a connection nor keeps a dead one.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #transport: Transport
  /** End of an event stream, whose client cannot show that it is alive. */
  readonly #endAt: number
  /** Time of the last ping, or of `hello`. Infinite before `hello`: until then the node does not read the client's frames. */
  #pingedAt = Number.POSITIVE_INFINITY
  /** Time of the first ping after the last sign of life; 0: none. */
  #unansweredSince = 0
  /** Time of the first beat at which the network had taken no buffered byte; 0: it takes bytes, or none is buffered. */
  #stalledSince = 0
  #bytesTaken = 0
  /** Pings that no `pong` frame, and no control frame, has answered yet. */
  #framePongsDue = 0
  #controlPongsDue = 0
  /** Times of the frames counted in the last second, ascending. */
  #frames: number[] | undefined

  constructor(options: HeartbeatOptions, transport: Transport, now: number) {
    this.#options = options
    this.#transport = transport
    const { streamMs } = options.timeouts
    this.#endAt = transport.isOneWay ? now + streamMs * (1 - STREAM_SPREAD * Math.random()) : Number.POSITIVE_INFINITY
  }

  /** Starts to ping. Called when `hello` was sent. */
  start(now: number): void {
    this.#pingedAt = now
  }

  /** Records a sign of life. */
  heard(): void {
    this.#unansweredSince = 0
  }

  /** Returns whether a pong answers a ping of this node. Each ping is answered once by each kind. */
  answersPing(kind: 'frame' | 'control'): boolean {
    if (kind === 'frame') return this.#framePongsDue > 0 && this.#framePongsDue-- > 0
    return this.#controlPongsDue > 0 && this.#controlPongsDue-- > 0
  }

  /** Counts a frame of the client. Returns false if the frame exceeds the limit of a second. */
  countFrame(now: number): boolean {
    this.#frames ??= []
    const frames = this.#frames
    while (frames.length > 0 && now - (frames[0] as number) >= SECOND_MS) frames.shift()
    frames.push(now)
    return frames.length <= MAX_FRAMES_PER_SECOND
  }

  /** Returns the action that the connection must take now: a ping, a close, or none. */
  beat(now: number): 'ping' | CloseName | undefined {
    const { pingIntervalMs, timeouts } = this.#options
    this.#observeStall(now)
    if (this.#stalledSince > 0 && now - this.#stalledSince >= timeouts.stallMs) return 'slowConsumer'
    if (this.#unansweredSince > 0 && now - this.#unansweredSince >= timeouts.pongMs) return 'noPong'
    if (now >= this.#endAt) return 'noPong'
    if (now - this.#pingedAt < pingIntervalMs) return undefined
    this.#recordPing(now)
    return 'ping'
  }

  #recordPing(now: number): void {
    this.#pingedAt = now
    if (this.#transport.isOneWay) return
    this.#unansweredSince ||= now
    this.#framePongsDue = Math.min(MAX_PONGS_DUE, this.#framePongsDue + 1)
    this.#controlPongsDue = Math.min(MAX_PONGS_DUE, this.#controlPongsDue + 1)
  }

  /** Records whether the network took bytes since the last beat. The peer cannot answer a ping that waits behind a stall: 4104 takes precedence. */
  #observeStall(now: number): void {
    const { buffered, bytesTaken } = this.#transport
    if (buffered === 0 || bytesTaken !== this.#bytesTaken) this.#stalledSince = 0
    else {
      this.#stalledSince ||= now
      if (this.#unansweredSince > 0) this.#unansweredSince = now
    }
    this.#bytesTaken = bytesTaken
  }
}
