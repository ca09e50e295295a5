import type { Redis } from 'ioredis'
import { Semaphore } from '../semaphore.ts'
import type { Durability } from '../store.ts'
import { createClient, createServerClient, type RedisStoreOptions } from './clients.ts'
import { Replication } from './replication.ts'
import type { ScriptTexts } from './script-texts.ts'
import { Scripts } from './scripts.ts'

/** Attaches under way on one master at once: when everybody returns, a publish waits behind these and no more. */
const ATTACHES = 32

/** Releases under way on one master at once: after an outage thousands of users are due, and a publish waits behind these and no more. */
export const RELEASES = 32

/**
 * One Redis master: its connections, the calls under way on it, and its availability. A plain Redis, and a group behind Sentinels,
 * is one master of all buckets. A Cluster has several, and each fails and returns by itself.
 */
export class Master {
  /** `host:port` in a Cluster; '' otherwise. */
  readonly address: string
  readonly commands: Redis
  /** Receives the wake-ups of the master's buckets: shard channels live on the master that owns their slot. */
  readonly subscriber: Redis
  readonly scripts: Scripts
  readonly replication: Replication | undefined
  readonly attaches = new Semaphore(ATTACHES)
  readonly releases = new Semaphore(RELEASES)
  /** Buckets whose slot the master owns. */
  buckets: readonly number[] = []
  /** Slots that the master owns, in words. */
  slots = ''
  /** Buckets that `subscriber` was subscribed to since it connected, and that Redis has not unsubscribed since. */
  readonly subscribedBuckets = new Set<number>()
  available = false
  /** Explains why the master is not available. */
  reason = 'Redis cannot be reached'
  durability: Durability = 'none'
  /** Probes in a row without an answer. */
  silences = 0
  #closed = false
  readonly #underWay = new Map<Promise<unknown>, (error: Error) => void>()

  constructor(options: RedisStoreOptions, texts: ScriptTexts, address: string) {
    const create = (pipelining: boolean): Redis =>
      address === '' ? createClient(options, pipelining) : createServerClient(options, address, pipelining)
    this.address = address
    this.commands = create(true)
    this.subscriber = create(false)
    this.scripts = new Scripts(this.commands, texts, address !== '')
    if (options.waitReplicas > 0) this.replication = new Replication(texts, options)
  }

  /** Every connection to the master. */
  get clients(): Redis[] {
    const { commands, subscriber, replication } = this
    return replication === undefined ? [commands, subscriber] : [commands, subscriber, replication.client]
  }

  get connected(): boolean {
    return !this.#closed && this.clients.every(({ status }) => status === 'ready')
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Names the master in log lines and in the readiness report. */
  get name(): string {
    return this.address === '' ? 'Redis' : `Redis master ${this.address} (slots ${this.slots})`
  }

  /** Subscribes to channels of the master. In a Cluster, one command cannot name channels of several slots. */
  async subscribe(channels: string[]): Promise<void> {
    if (this.address === '') await this.subscriber.ssubscribe(...channels)
    else await Promise.all(channels.map((channel) => this.subscriber.ssubscribe(channel)))
  }

  /** Carries out a call. Rejects when the call does, or as soon as the master is found unavailable. */
  watch<Result>(call: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const answer = call()
      this.#underWay.set(answer, reject)
      answer.then(resolve, reject).finally(() => this.#underWay.delete(answer))
    })
  }

  rejectUnderWay(reason: string): void {
    for (const reject of this.#underWay.values()) reject(new Error(reason))
  }

  /** Resolves when every call under way has settled. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay.keys())
  }

  connect(): void {
    for (const client of this.clients) client.connect().catch(() => undefined)
  }

  close(): void {
    this.#closed = true
    this.available = false
    for (const client of this.clients) client.disconnect()
  }
}
