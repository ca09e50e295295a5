import type { ErrorFrame, MarkFrame, OkFrame, RefreshFrame } from '../../../services/protocol/index.ts'
import { BelfryError } from './errors.ts'
import type { Platform } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'

const DEADLINE_MS = 10_000

export type CallFrame = MarkFrame | RefreshFrame

interface Call {
  frame: CallFrame
  /** How old it was when it was made here: another tab's mark has an age already. */
  ageMs: number
  made: Stopwatch
  resolve(ok: OkFrame): void
  reject(error: BelfryError): void
  timer: unknown
}

/** Frames that are answered. They are idempotent: what has no answer when the connection is lost is sent again on the next. */
export class Calls {
  readonly #platform: Platform
  readonly #send: (frame: CallFrame) => boolean
  readonly #open = new Map<number, Call>()
  #ref = 0

  constructor(platform: Platform, send: (frame: CallFrame) => boolean) {
    this.#platform = platform
    this.#send = send
  }

  /** Resolves with the answer; rejects with the service's error, or when there is no answer in 10 s. */
  call(frame: CallFrame): Promise<OkFrame> {
    return new Promise((resolve, reject) => {
      const ref = ++this.#ref
      const timer = this.#platform.setTimeout(() => this.#fail(ref, 'TIMEOUT', 'no answer in 10 s'), DEADLINE_MS)
      const { ageMs = 0 } = frame as MarkFrame
      const call = { frame: { ...frame, ref }, ageMs, made: new Stopwatch(this.#platform), resolve, reject, timer }
      this.#open.set(ref, call)
      this.#send(call.frame)
    })
  }

  /** Whether the frame answers a call. */
  answer(frame: OkFrame | ErrorFrame): boolean {
    const call = this.#take(frame.ref)
    if (frame.type === 'ok') call?.resolve(frame)
    else call?.reject(new BelfryError(frame.code, frame.message, frame.temporary))
    return call !== undefined
  }

  /** There is a new connection. Marks go with their age: what another device marked since is not undone. */
  resend(): void {
    for (const { frame, ageMs, made } of this.#open.values()) {
      this.#send(frame.type === 'mark' ? { ...frame, ageMs: Math.round(ageMs + made.elapsedMs) } : frame)
    }
  }

  /** There will be no connection. */
  failAll(): void {
    for (const ref of this.#open.keys()) this.#fail(ref, 'DISCONNECTED', 'disconnected')
  }

  #fail(ref: number, code: string, message: string): void {
    this.#take(ref)?.reject(new BelfryError(`BELFRY_CLIENT_${code}`, message))
  }

  #take(ref = 0): Call | undefined {
    const call = this.#open.get(ref)
    this.#open.delete(ref)
    this.#platform.clearTimeout(call?.timer)
    return call
  }
}
