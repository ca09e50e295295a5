import type { ErrorFrame, MarkFrame, OkFrame } from '../../../services/protocol/index.ts'
import { disconnected, errorOf, failure } from './errors.ts'
import type { CallFrame, UserFrame } from './marks.ts'
import type { Platform } from './platform.ts'
import type { RestCaller } from './sse.ts'
import { Stopwatch } from './stopwatch.ts'

const DEADLINE_MS = 10_000

/** A message to the tab that made a call. */
export interface AnswerMessage {
  type: 'answer'
  to: string
  frame: OkFrame | ErrorFrame
}

interface Call {
  /** Returns the frame as it is sent again: a mark has its age, so that it does not undo a later mark of another device. */
  aged(): CallFrame
  settle(answer: OkFrame | ErrorFrame): void
  timer: unknown
}

/** Frames that the service answers. They are idempotent: those without an answer are sent again over the next connection. */
export class Calls {
  readonly #platform: Platform
  readonly #send: (frame: CallFrame) => boolean
  readonly #open = new Map<number, Call>()
  /** The calls of other tabs that are open. */
  readonly #ofTabs = new Set<string>()
  #ref = 0

  constructor(platform: Platform, send: (frame: CallFrame) => boolean) {
    this.#platform = platform
    this.#send = send
  }

  /** Sends the frame and resolves with the answer. Rejects with the service's error, or after 10 s without an answer. */
  async call(frame: CallFrame): Promise<OkFrame> {
    const answer = await this.#ask(frame)
    if (answer.type === 'error') throw errorOf(answer)
    return answer
  }

  /** Sends the frame and resolves with what answers it, which is an error after 10 s without an answer. */
  #ask(frame: CallFrame): Promise<OkFrame | ErrorFrame> {
    return new Promise((settle) => {
      const ref = ++this.#ref
      const timer = this.#platform.setTimeout(() => {
        this.#open.delete(ref)
        settle(failure('TIMEOUT', 'no answer in 10 s'))
      }, DEADLINE_MS)
      const made = new Stopwatch(this.#platform)
      // A mark of another tab has an age already.
      const { ageMs = 0 } = frame as MarkFrame
      const first = { ...frame, ref }
      this.#open.set(ref, {
        aged: () => (frame.type === 'mark' ? { ...first, ageMs: Math.round(ageMs + made.elapsedMs) } : first),
        settle,
        timer
      })
      this.#send(first)
    })
  }

  /** Makes a call of another tab, and sends it the answer. A call that the tab sends again and that is open here is ignored. */
  async callFor(tab: string, frame: UserFrame, send: (message: AnswerMessage) => void): Promise<void> {
    const ref = frame.ref as number
    const name = tab + ref
    if (this.#ofTabs.has(name)) return
    this.#ofTabs.add(name)
    const answer = await this.#ask(frame)
    this.#ofTabs.delete(name)
    send({ type: 'answer', to: tab, frame: { ...answer, ref } })
  }

  /** Settles the call that the frame answers. Returns false if there is none. */
  answer(frame: OkFrame | ErrorFrame): boolean {
    const call = this.#take(frame.ref)
    call?.settle(frame)
    return !!call
  }

  /** Sends the open calls over a new connection. */
  resend(): void {
    for (const call of this.#open.values()) this.#send(call.aged())
  }

  /**
   * Settles the open calls by REST, because there will be no connection. The tab that should have sent them may be disconnecting too: a user signs
   * out in all tabs at once. Without an answer a call fails; its time limit goes on.
   */
  settleByRest(client: RestCaller, token: string): void {
    for (const { aged, settle, timer } of this.#open.values()) {
      const frame = aged()
      import('./sse.ts')
        .then(({ callByRest }) => callByRest(client, token, frame))
        .catch(disconnected)
        .then(settle)
        .finally(() => this.#platform.clearTimeout(timer))
    }
    this.#open.clear()
  }

  #take(ref = 0): Call | undefined {
    const call = this.#open.get(ref)
    this.#open.delete(ref)
    this.#platform.clearTimeout(call?.timer)
    return call
  }
}
