import { setTimeout as pause } from 'node:timers/promises'
import type { Bus, BusListener, BusStatus, Outgoing } from './bus.ts'
import { type NatsAccess, NatsLink } from './nats-link.ts'

/** Bounds of the time between two attempts to connect, milliseconds. It doubles with each attempt. */
const RETRY_MIN_MS = 50
const RETRY_MAX_MS = 1000

export interface NatsBusOptions {
  access: NatsAccess
  /** Beginning of every subject; one token. */
  prefix: string
  /** Receives a line when the bus becomes available or unavailable. */
  log?: { info(message: string): void; warn(message: string): void }
}

/**
 * Core NATS: one subject for each node. The scripts reply with the messages, and the node that called them publishes. Connects again for ever,
 * with back-off; drops what is published while there is no connection.
 */
export class NatsBus implements Bus {
  readonly name = 'NATS'
  /** Messages handed to the connection, and messages dropped without one. */
  sent = 0
  dropped = 0
  readonly #options: NatsBusOptions
  readonly #closing = new AbortController()
  /** Buckets that the store subscribed to since the connection was made. */
  readonly #subscribed = new Set<number>()
  #listener: BusListener | undefined
  #node = ''
  #link: NatsLink | undefined
  #reason = 'NATS cannot be reached'
  /** Reasons that were logged since the bus was last available, so that each is logged once. */
  readonly #loggedReasons = new Set<string>()
  #running: Promise<void> = Promise.resolve()

  constructor(options: NatsBusOptions) {
    this.#options = options
  }

  readonly publish = (messages: readonly Outgoing[]): void => {
    for (const { node, message } of messages) {
      if (this.#send(node, message)) this.sent += 1
      else this.dropped += 1
    }
  }

  async open(node: string, listener: BusListener): Promise<void> {
    this.#node = node
    this.#listener = listener
    await new Promise<void>((resolve) => {
      this.#running = this.#keepConnected(resolve)
    })
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#link?.close()
    await this.#running
  }

  status(): BusStatus {
    const available = this.#link !== undefined
    return { available, reason: available ? '' : this.#reason }
  }

  assign(): void {
    // The subject of the node covers every bucket.
  }

  unsubscribed(_place: string, buckets: readonly number[]): number[] {
    return this.#link === undefined ? [] : buckets.filter((bucket) => !this.#subscribed.has(bucket))
  }

  async subscribe(_place: string, buckets: readonly number[]): Promise<void> {
    if (this.#link !== undefined) for (const bucket of buckets) this.#subscribed.add(bucket)
  }

  #send(node: string, message: Buffer): boolean {
    if (this.#link === undefined) return false
    try {
      this.#link.publish(this.#subjectOf(node), message)
      return true
    } catch (error) {
      this.#warnOnce(`NATS refuses a message of ${message.length} bytes: ${(error as Error).message}`)
      return false
    }
  }

  #subjectOf(node: string): string {
    return `${this.#options.prefix}.node.${node}`
  }

  /** Connects, waits for the end of the connection, and starts again, until the bus is closed. */
  async #keepConnected(onFirstAttempt: () => void): Promise<void> {
    const { signal } = this.#closing
    let failures = 0
    while (!signal.aborted) {
      try {
        const reason = await this.#connectOnce(onFirstAttempt)
        failures = 0
        this.#noteUnavailable(reason)
      } catch (error) {
        this.#noteUnavailable((error as Error).message)
      }
      onFirstAttempt()
      const waitMs = Math.min(RETRY_MIN_MS * 2 ** failures, RETRY_MAX_MS) * (0.75 + Math.random() / 2)
      failures += 1
      await pause(waitMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** Resolves with the reason for the end of one connection. Rejects if none can be made. */
  async #connectOnce(onConnected: () => void): Promise<string> {
    const onMessage = (message: Buffer): void => this.#listener?.onMessage(message)
    const link = await NatsLink.open(this.#options.access, this.#subjectOf(this.#node), onMessage)
    if (this.#closing.signal.aborted) {
      link.close()
      return 'closed'
    }
    this.#link = link
    this.#loggedReasons.clear()
    this.#options.log?.info('NATS is available')
    onConnected()
    this.#listener?.onInterruption(undefined)
    const reason = await link.ended
    this.#link = undefined
    this.#subscribed.clear()
    link.close()
    return reason
  }

  #noteUnavailable(reason: string): void {
    this.#reason = reason
    if (!this.#closing.signal.aborted) this.#warnOnce(`NATS is not available: ${reason}`)
  }

  #warnOnce(message: string): void {
    if (this.#loggedReasons.has(message)) return
    this.#loggedReasons.add(message)
    this.#options.log?.warn(message)
  }
}
