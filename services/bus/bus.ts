/** One message for one node, in the format of `messages.ts`. */
export interface Outgoing {
  node: string
  message: Buffer
}

/** Receives what the bus has for this node. Called synchronously; must not throw. */
export interface BusListener {
  onMessage(message: Buffer): void
  /**
   * Called when subscriptions have ended, or can be made again. The listener subscribes again where `unsubscribed` names buckets, and reads
   * what was sent in between.
   *
   * @param place the place whose subscriptions are concerned; undefined for all
   */
  onInterruption(place: string | undefined): void
}

export interface BusStatus {
  available: boolean
  /** Why the bus is not available, for operators; '' if it is. */
  reason: string
}

/**
 * Carries wake-ups and kicks from the steps of the store to the nodes they concern. The messages for a node are subscribed by bucket, at the
 * place that holds the bucket: a master of the store.
 *
 * **Loss.** A message arrives once, or it is lost. That may happen at any time, and neither the sender nor the receiver is told. Each message
 * carries a counter that the store keeps, so the receiver finds out by itself within about 2 s (*gapless counters*,
 * docs/explanation/store.md). A message must never arrive twice: the second one would be counted in place of a lost one.
 *
 * **Order.** The messages of one step, and of steps that one node carried out one after the other, arrive in order. Those of different nodes
 * may overtake each other.
 *
 * **Independence.** No step of the store waits for the bus or fails because of it. While the bus is unavailable, messages are dropped, the
 * counters find that, and the node reads the log.
 */
export interface Bus {
  /** Name of the implementation, for log lines and metrics. */
  readonly name: string

  /**
   * Sends messages that the reply of a script contains. Undefined if the scripts send their messages themselves, within the step, as they do
   * on Redis Pub/Sub. Never throws.
   */
  readonly publish: ((messages: readonly Outgoing[]) => void) | undefined

  /** Starts to receive messages for this node. Resolves when the bus can be used, or after the first attempt to reach it. */
  open(node: string, listener: BusListener): Promise<void>

  close(): Promise<void>

  status(): BusStatus

  /** Sets the buckets of a place. Its subscriptions to other buckets end. */
  assign(place: string, buckets: readonly number[]): void

  /** Returns those of these buckets that need a subscription and can get one. */
  unsubscribed(place: string, buckets: readonly number[]): number[]

  /**
   * Subscribes this node to buckets of a place. Resolves when every message sent from now on arrives unless it is lost. Where the bus is
   * a service of its own and cannot be reached, resolves too: `onInterruption` follows when it can.
   */
  subscribe(place: string, buckets: readonly number[]): Promise<void>
}
