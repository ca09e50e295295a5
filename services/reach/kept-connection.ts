import { Client, DecoratorHandler, type Dispatcher } from 'undici'

/** Errors of a connection that its host closed. */
const CLOSED = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

/** The errors of requests that met a closed connection. */
const errors = new WeakSet<object>()

/**
 * A connection to a host, which is kept for further requests. A host may close it at the moment at which a request is sent. The host has then most
 * likely not seen that request, so it does not count as an attempt. Only a host that died while it worked on the request has seen it.
 */
export class KeptConnection extends Client {
  /** The host has answered a request on this connection. */
  #isUsed = false

  constructor(origin: string | URL, options: object) {
    super(origin, options)
    this.on('connect', () => {
      this.#isUsed = false
    })
  }

  /** Returns true for the error of a request on a connection that had answered others before, and that the host closed without an answer. */
  static hadClosed(error: unknown): boolean {
    return typeof error === 'object' && error !== null && errors.has(error)
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Handler): boolean {
    const noting = new NotingHandler(handler, {
      isUsed: () => this.#isUsed,
      onAnswer: () => {
        this.#isUsed = true
      }
    })
    return super.dispatch(options, noting)
  }
}

interface Notes {
  isUsed: () => boolean
  onAnswer: () => void
}

type Handler = Dispatcher.DispatchHandler
type Controller = Dispatcher.DispatchController

/** The methods of `DecoratorHandler` that the types of undici leave out. Each passes the event on. */
interface Decorator extends Handler {
  onRequestStart(controller: Controller, context: unknown): void
  onResponseStart(...args: Parameters<NonNullable<Handler['onResponseStart']>>): void
  onResponseError(controller: Controller, error: Error): void
}
const DecoratorBase = DecoratorHandler as new (handler: Handler) => Decorator

/** Notes the answer to a request, or that its connection was closed. */
class NotingHandler extends DecoratorBase {
  readonly #notes: Notes
  /** The connection was used before the request was sent on it, and no answer has begun. */
  #isDoubtful = false

  constructor(handler: Handler, notes: Notes) {
    super(handler)
    this.#notes = notes
  }

  override onRequestStart(controller: Controller, context: unknown): void {
    this.#isDoubtful = this.#notes.isUsed()
    super.onRequestStart(controller, context)
  }

  override onResponseStart(...args: Parameters<Decorator['onResponseStart']>): void {
    this.#isDoubtful = false
    this.#notes.onAnswer()
    super.onResponseStart(...args)
  }

  override onResponseError(controller: Controller, error: Error & { code?: string }): void {
    if (this.#isDoubtful && CLOSED.has(error.code ?? '')) errors.add(error)
    super.onResponseError(controller, error)
  }
}
