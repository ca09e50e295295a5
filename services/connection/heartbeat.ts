import type { CloseName } from '../protocol/index.ts'
import type { Timeouts } from './timeouts.ts'
import type { Transport } from './transport.ts'

/** Frames a client may send in any second. */
export const MAX_FRAMES_PER_SECOND = 50
const SECOND_MS = 1000

/** Pings whose pongs may still come: the pongs of a slow network may arrive together. */
const MAX_PONGS_DUE = 50

/** A part of the longest life of a stream: streams that began together do not end together. */
const STREAM_SPREAD = 0.2

export interface HeartbeatOptions {
  readonly pingIntervalMs: number
  readonly timeouts: Timeouts
}

/**
 * The signs of life of one peer, and its limit on frames. Every time is on the monotonic clock, milliseconds: a step of the wall clock neither
 * ends a connection nor keeps a dead one.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #transport: Transport
  /** The end of a stream on which no sign of life can come. */
  readonly #endAt: number
  /** The last ping, or the `hello`. Infinite before `hello`: until then the client's frames are not read. */
  #pingedAt = Number.POSITIVE_INFINITY
  /** The first ping since the peer was last heard; 0: none. */
  #unansweredSince = 0
  /** The first beat since which the network took nothing of what is buffered; 0: it took something. */
  #stalledSince = 0
  #takenBytes = 0
  /** Pings not answered yet by a `pong` frame, and by a control frame. */
  #framePongsDue = 0
  #controlPongsDue = 0
  /** Times of the frames counted in the last second, ascending. */
  #frames: number[] | undefined

  constructor(options: HeartbeatOptions, transport: Transport, now: number) {
    this.#options = options
    this.#transport = transport
    const { streamMs } = options.timeouts
    this.#endAt = transport.oneWay ? now + streamMs * (1 - STREAM_SPREAD * Math.random()) : Number.POSITIVE_INFINITY
  }

  /** Begins to ping, from `hello` on. */
  start(now: number): void {
    this.#pingedAt = now
  }

  /** Takes note of a sign of life. */
  heard(): void {
    this.#unansweredSince = 0
  }

  /** Returns whether a pong answers a ping of ours, once for each ping and kind. */
  answersPing(kind: 'frame' | 'control'): boolean {
    if (kind === 'frame') return this.#framePongsDue > 0 && this.#framePongsDue-- > 0
    return this.#controlPongsDue > 0 && this.#controlPongsDue-- > 0
  }

  /** Counts a frame of the client. Returns false if it is one too many in a second. */
  countFrame(now: number): boolean {
    this.#frames ??= []
    const frames = this.#frames
    while (frames.length > 0 && now - (frames[0] as number) >= SECOND_MS) frames.shift()
    frames.push(now)
    return frames.length <= MAX_FRAMES_PER_SECOND
  }

  /** Returns what the connection has to do now: send a ping, or close. */
  beat(now: number): 'ping' | CloseName | undefined {
    const { pingIntervalMs, timeouts } = this.#options
    this.#observeStall(now)
    if (this.#stalledSince > 0 && now - this.#stalledSince >= timeouts.stallMs) return 'slowConsumer'
    if (this.#unansweredSince > 0 && now - this.#unansweredSince >= timeouts.pongMs) return 'noPong'
    if (now >= this.#endAt) return 'noPong'
    if (now - this.#pingedAt < pingIntervalMs) return undefined
    this.#notePing(now)
    return 'ping'
  }

  #notePing(now: number): void {
    this.#pingedAt = now
    if (this.#transport.oneWay) return
    this.#unansweredSince ||= now
    this.#framePongsDue = Math.min(MAX_PONGS_DUE, this.#framePongsDue + 1)
    this.#controlPongsDue = Math.min(MAX_PONGS_DUE, this.#controlPongsDue + 1)
  }

  /** Notes whether the network took anything since the last beat. A ping that waits behind a stall cannot be answered: 4104 has precedence. */
  #observeStall(now: number): void {
    const { buffered, taken } = this.#transport
    if (buffered === 0 || taken !== this.#takenBytes) this.#stalledSince = 0
    else {
      this.#stalledSince ||= now
      if (this.#unansweredSince > 0) this.#unansweredSince = now
    }
    this.#takenBytes = taken
  }
}
