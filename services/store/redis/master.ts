import type { Redis } from 'ioredis'
import type { Bus } from '../../bus/bus.ts'
import { RedisBus } from '../../bus/redis-bus.ts'
import { Semaphore } from '../semaphore.ts'
import type { Durability, StoreStatus } from '../store.ts'
import { createClient, createServerClient, type RedisStoreOptions } from './clients.ts'
import { CONFIRMED_SCRIPTS, Replication } from './replication.ts'
import type { Reply } from './reply.ts'
import type { Args, ScriptName } from './script-table.ts'
import type { ScriptTexts } from './script-texts.ts'
import { Scripts } from './scripts.ts'

/** Most attaches in progress on one master: in a reconnect storm, a publish waits behind so many at most. */
const ATTACHES = 32

/** Most users advanced at once on one master: after an outage thousands of users are due, and a publish waits behind so many at most. */
export const ADVANCES = 32

/** The reasons of a master that is not available, while nothing else is known, and after the end of a connection. */
export const UNREACHED = 'Redis cannot be reached'
export const CLOSED = 'the connection was closed'

/** Listener to the masters: what this node does when one becomes available or changes. */
export interface MasterListener {
  /** Prepares a master that answers. The master becomes available when this resolves. */
  prepare(master: Master): Promise<void>
  /** Called when a prepared master is available, and again whenever its buckets or subscriptions may have changed. */
  onReady(master: Master): void
  /** Called when a master becomes available or unavailable. */
  onStatus(status: StoreStatus): void
}

const WEAKEST_FIRST: readonly Durability[] = ['none', 'os', 'fsync']

/** Returns the durability of writes to the available masters: that of the weakest, or `replicated` if the writes wait for replicas. */
export function durabilityOfAll(masters: Iterable<Master>): Durability {
  let weakest: Durability | undefined
  for (const { available, durability, replication } of masters) {
    if (!available) continue
    if (replication?.confirmed) return 'replicated'
    if (weakest === undefined || WEAKEST_FIRST.indexOf(durability) < WEAKEST_FIRST.indexOf(weakest)) weakest = durability
  }
  return weakest ?? 'none'
}

/**
 * One Redis master: its connections, the calls in progress, and its availability. A single Redis, or a group behind Sentinels, is one
 * master that owns all buckets. A Cluster has several, each of which can fail alone.
 */
export class Master {
  /** `host:port` in a Cluster; '' otherwise. */
  readonly address: string
  readonly commands: Redis
  /** Receives the wake-ups of the master's buckets, if the bus is Redis Pub/Sub: shard channels live on the master that owns their slot. */
  readonly subscriber: Redis | undefined
  readonly scripts: Scripts
  readonly replication: Replication | undefined
  readonly attaches = new Semaphore(ATTACHES)
  readonly advances = new Semaphore(ADVANCES)
  /** Buckets whose slot the master owns. */
  buckets: readonly number[] = []
  /** Slots that the master owns, in words. */
  slots = ''
  available = false
  /** Explains why the master is not available. */
  reason = UNREACHED
  durability: Durability = 'none'
  /** Probes in a row without an answer. */
  unansweredProbes = 0
  #closed = false
  readonly #inProgress = new Map<Promise<unknown>, (error: Error) => void>()

  constructor(options: RedisStoreOptions, texts: ScriptTexts, address: string, bus: Bus) {
    const create = (pipelining: boolean): Redis =>
      address === '' ? createClient(options, pipelining) : createServerClient(options, address, pipelining)
    this.address = address
    this.commands = create(true)
    if (bus instanceof RedisBus) {
      this.subscriber = create(false)
      bus.add(address, this.subscriber)
    }
    this.scripts = new Scripts(this.commands, texts, address !== '', bus.publish)
    if (options.waitReplicas > 0) this.replication = new Replication(texts, options, bus.publish)
  }

  /** Every connection to the master. */
  get clients(): Redis[] {
    const { commands, subscriber, replication } = this
    return [commands, subscriber, replication?.client].filter((client) => client !== undefined)
  }

  get connected(): boolean {
    return !this.#closed && this.clients.every(({ status }) => status === 'ready')
  }

  /** Names the master in log lines and in the readiness report. */
  get name(): string {
    return this.address === '' ? 'Redis' : `Redis master ${this.address} (slots ${this.slots})`
  }

  /** Runs a script as one atomic step. Those of `CONFIRMED_SCRIPTS` wait for as many replicas as configured. */
  run<Name extends ScriptName>(name: Name, keys: readonly string[], args: Args<Name>): Promise<Reply> {
    const confirming = CONFIRMED_SCRIPTS.has(name) ? this.replication : undefined
    return (confirming ?? this.scripts).run(name, keys, args)
  }

  /** Makes a call, and tracks it: the promise rejects when the call does, or as soon as the master is found unavailable. */
  track<Result>(call: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const reply = call()
      this.#inProgress.set(reply, reject)
      reply.then(resolve, reject).finally(() => this.#inProgress.delete(reply))
    })
  }

  /** Rejects the calls in progress. Their outcome is unknown. */
  rejectInProgress(reason: string): void {
    for (const reject of this.#inProgress.values()) reject(new Error(reason))
  }

  /** Resolves when every call in progress has settled. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#inProgress.keys())
  }

  /**
   * Calls the listener at the end of each connection for commands. The end is unexplained if the server had accepted the connection, the master was
   * not brought into use, and nothing says why: a server that speaks TLS ends a connection without it like that.
   */
  onClose(listener: (isUnexplained: boolean) => void): void {
    let wasAccepted = false
    this.commands.on('connect', () => {
      wasAccepted = true
    })
    this.commands.on('close', () => {
      listener(wasAccepted && !this.available && [UNREACHED, CLOSED].includes(this.reason))
      wasAccepted = false
    })
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
