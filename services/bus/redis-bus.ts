import type { Redis } from 'ioredis'
import type { Bus, BusListener, BusStatus } from './bus.ts'

/** A connection to one master, and the buckets to whose channels it is subscribed. */
interface Subscriber {
  client: Redis
  buckets: Set<number>
}

/**
 * Redis sharded Pub/Sub: one channel for each bucket and node, on the master that owns the slot of the bucket. The scripts publish within
 * their step. The masters own the connections: a master without one is not available, so this bus is never unavailable by itself.
 */
export class RedisBus implements Bus {
  readonly name = 'Redis Pub/Sub'
  readonly publish = undefined
  readonly #channelOf: (bucket: number, node: string) => string
  readonly #subscribers = new Map<string, Subscriber>()
  #listener: BusListener | undefined
  #node = ''

  constructor(channelOf: (bucket: number, node: string) => string) {
    this.#channelOf = channelOf
  }

  async open(node: string, listener: BusListener): Promise<void> {
    this.#node = node
    this.#listener = listener
  }

  async close(): Promise<void> {
    this.#subscribers.clear()
  }

  status(): BusStatus {
    return { available: true, reason: '' }
  }

  /** Adds the connection to a master. `place` is `host:port` in a Cluster, else ''. */
  add(place: string, client: Redis): void {
    const buckets = new Set<number>()
    this.#subscribers.set(place, { client, buckets })
    client.on('close', () => buckets.clear())
    // Redis unsubscribes every client from a slot's channels when the slot gets an owner, even if that is the same server.
    client.on('moved', () => {
      buckets.clear()
      this.#listener?.onInterruption(place)
    })
    client.on('smessageBuffer', (_channel: Buffer, message: Buffer) => this.#listener?.onMessage(message))
  }

  assign(place: string, buckets: readonly number[]): void {
    const own = new Set(buckets)
    const subscribed = this.#subscribers.get(place)?.buckets ?? []
    for (const bucket of subscribed) if (!own.has(bucket)) this.#subscribers.get(place)?.buckets.delete(bucket)
  }

  unsubscribed(place: string, buckets: readonly number[]): number[] {
    const subscribed = this.#subscribers.get(place)?.buckets
    return buckets.filter((bucket) => !subscribed?.has(bucket))
  }

  async subscribe(place: string, buckets: readonly number[]): Promise<void> {
    const subscriber = this.#subscribers.get(place)
    if (subscriber === undefined) throw new Error('the Redis master has lost its slots')
    for (const bucket of buckets) subscriber.buckets.add(bucket)
    const channels = buckets.map((bucket) => this.#channelOf(bucket, this.#node))
    try {
      // In a Cluster, one command cannot name channels of several slots.
      if (place === '') await subscriber.client.ssubscribe(...channels)
      else await Promise.all(channels.map((channel) => subscriber.client.ssubscribe(channel)))
    } catch (error) {
      for (const bucket of buckets) subscriber.buckets.delete(bucket)
      throw error
    }
  }
}
