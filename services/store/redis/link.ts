import type { ConnectionInfo, Durability, StoreEvents, StoreSettings, StoreStatus } from '../store.ts'
import { type Client, createClient, ping, type RedisStoreOptions } from './clients.ts'
import { BUCKETS, type Keys } from './keys.ts'
import { LocalUsers } from './local-users.ts'
import { Nodes } from './nodes.ts'
import { Replication } from './replication.ts'
import { type Reply, type ScriptName, Scripts } from './scripts.ts'
import { checkServer, durabilityOf, Refused } from './server-facts.ts'
import { Wakeups } from './wakeups.ts'

const TICK_MS = 1000
const FIRST_ATTEMPT_MS = 2000
const BEAT_TICKS = 2
const DURABILITY_TICKS = 10
const RENEW_TICKS = 60
/** A connection that left so many pings unanswered, one after the other, is made anew. */
const SILENCES_MAX = 2
const DETACH_BATCH = 500

/**
 * One node's hold on the database: its connections, whether they can be used, and what has to be done from time to time.
 * While it is not available every call rejects at once, unsent.
 */
export class Link {
  readonly local = new LocalUsers()
  readonly #options: RedisStoreOptions
  readonly #keys: Keys
  readonly #commands: Client
  readonly #subscriber: Client
  readonly #scripts: Scripts
  readonly #replication: Replication | undefined
  readonly #underWay = new Set<Promise<unknown>>()
  #nodes: Nodes | undefined
  #wakeups: Wakeups | undefined
  #events: StoreEvents | undefined
  #node = ''
  #available = false
  #reason = 'not opened'
  #durability: Durability = 'none'
  #refused: Refused | undefined
  #arriving: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #ticks = 0
  #silences = 0
  #busy = false
  #closed = false

  constructor(settings: StoreSettings, options: RedisStoreOptions, keys: Keys) {
    this.#options = options
    this.#keys = keys
    this.#commands = createClient(options, true)
    this.#subscriber = options.clusterNodes === undefined ? createClient(options, false) : this.#commands
    this.#scripts = new Scripts(this.#commands, settings)
    if (options.waitReplicas > 0) this.#replication = new Replication(settings, options)
  }

  get wakeupsLost(): number {
    return this.#wakeups?.lost ?? 0
  }

  /** Rejects with `Refused` when the database must not be used; resolves within about 2 s when it cannot be reached. */
  async open(node: string, events: StoreEvents): Promise<void> {
    this.#node = node
    this.#events = events
    this.#reason = 'Redis cannot be reached'
    this.#nodes = new Nodes(this.#commands, this.#scripts, this.#keys, node)
    this.#wakeups = new Wakeups(this.#subscriber, this.#commands, this.#scripts, this.#keys, node, events)
    const clients = new Set([this.#commands, this.#subscriber])
    let patience: NodeJS.Timeout | undefined
    const first = new Promise<void>((resolve) => {
      const attempt = (): void => void this.#arrive().then(() => this.#available && resolve(), resolve)
      for (const client of clients) client.on('ready', attempt)
      patience = setTimeout(resolve, FIRST_ATTEMPT_MS)
    })
    this.#commands.on('close', () => this.#leave('the connection was closed'))
    for (const client of clients) client.connect().catch(() => undefined)
    this.#replication?.connect()
    await first
    clearTimeout(patience)
    if (this.#refused !== undefined) {
      const refused = this.#refused
      await this.close()
      throw refused
    }
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    await Promise.allSettled([...this.#underWay])
    if (this.#available) await this.#goodbye().catch(() => undefined)
    this.#available = false
    this.#reason = 'closed'
    for (const client of [this.#commands, this.#subscriber]) client.disconnect()
    this.#replication?.disconnect()
  }

  status(): StoreStatus {
    const durability = this.#replication?.confirmed ? 'replicated' : this.#durability
    return { available: this.#available, reason: this.#available ? '' : this.#reason, durability }
  }

  run(name: ScriptName, keys: string[], args: (string | number)[]): Promise<Reply> {
    return this.#watch(() => this.#scripts.run(name, keys, args))
  }

  publish(keys: string[], args: string[]): Promise<Reply> {
    const replication = this.#replication
    return replication === undefined ? this.run('publish', keys, args) : this.#watch(() => replication.publish(keys, args))
  }

  /** Writes what the registry holds for the user. When that fails it is tried again each second. */
  async detach(user: string, connections: ConnectionInfo[]): Promise<void> {
    this.local.want(user, connections)
    await this.#register(user)
  }

  heard(bucket: number, counter: number): void {
    this.#wakeups?.heard(bucket, counter)
  }

  /** The buckets this node sweeps. */
  share(): number[] {
    return this.#nodes?.share() ?? []
  }

  /** What the registry holds for the user, by node, and the nodes that are alive. */
  async registered(user: string): Promise<{ registered: Map<string, ConnectionInfo[]>; live: string[] }> {
    const [fields, live] = await this.#watch(() =>
      Promise.all([this.#commands.hgetall(this.#keys.registry(user)), this.#nodes?.live() ?? Promise.resolve<string[]>([])])
    )
    const registered = new Map(Object.entries(fields).map(([node, value]) => [node, connectionsIn(value)]))
    return { registered, live: Object.keys(fields).filter((node) => live.includes(node)) }
  }

  async revokedBefore(user: string): Promise<number> {
    return Number((await this.#watch(() => this.#commands.hget(this.#keys.meta(user), 'r'))) ?? 0)
  }

  async #watch<Result>(call: () => Promise<Result>): Promise<Result> {
    if (!this.#available || this.#closed) throw new Error(this.#reason)
    const answer = call()
    this.#underWay.add(answer)
    try {
      return await answer
    } finally {
      this.#underWay.delete(answer)
    }
  }

  async #register(user: string): Promise<void> {
    const connections = this.local.get(user)
    await this.run('detach', [this.#keys.registry(user)], [this.#node, connections.length, JSON.stringify(connections)])
    if (this.local.get(user) === connections || connections.length === 0) this.local.set(user, connections)
  }

  /** From connected to available: checks the server, subscribes, and compares what was heard with what was sent. */
  #arrive(): Promise<void> {
    this.#arriving ??= this.#check()
      .catch((error: unknown) => {
        this.#reason = error instanceof Error ? error.message : String(error)
        if (error instanceof Refused) this.#refused = error
        throw error
      })
      .finally(() => {
        this.#arriving = undefined
      })
    return this.#arriving
  }

  async #check(): Promise<void> {
    if (this.#commands.status !== 'ready' || this.#subscriber.status !== 'ready' || this.#closed) return
    await checkServer(this.#commands, this.#keys)
    this.#durability = await durabilityOf(this.#commands)
    await this.#nodes?.beat()
    await this.#wakeups?.subscribe()
    if (this.#closed || this.#commands.status !== 'ready') return
    if (!this.#available) {
      this.#available = true
      this.#options.log?.info('Redis is available')
      this.#events?.status(this.status())
    }
    this.#wakeups?.tellSuspects()
  }

  #leave(reason: string): void {
    if (this.#closed || !this.#available) return
    this.#available = false
    this.#reason = reason
    this.#options.log?.warn(`Redis is not available: ${reason}`)
    this.#events?.status(this.status())
  }

  #tick(): void {
    this.#probe().catch(() => undefined)
    if (this.#busy || !this.#available) return
    this.#busy = true
    this.#ticks += 1
    this.#keepHouse(this.#ticks)
      .catch(() => undefined)
      .finally(() => {
        this.#busy = false
      })
  }

  async #probe(): Promise<void> {
    if (this.#commands.status !== 'ready') return
    try {
      await ping(this.#commands)
      this.#silences = 0
    } catch (error) {
      this.#leave(error instanceof Error ? error.message : String(error))
      this.#silences += 1
      if (this.#silences % SILENCES_MAX === 0) this.#commands.disconnect(true)
      return
    }
    if (!this.#available) await this.#arrive()
    else if (this.#subscriber !== this.#commands) await this.#probeSubscriber()
  }

  /** A subscriber that does not answer hears nothing either: it connects anew, and compares. */
  async #probeSubscriber(): Promise<void> {
    if (this.#subscriber.status === 'ready') await ping(this.#subscriber).catch(() => this.#subscriber.disconnect(true))
  }

  async #keepHouse(ticks: number): Promise<void> {
    this.#wakeups?.tellSuspects()
    await this.#wakeups?.check(this.local.buckets())
    await Promise.all(this.local.doubtful().map((user) => this.#register(user)))
    if (ticks % BEAT_TICKS === 0) await this.#nodes?.beat()
    if (ticks % DURABILITY_TICKS === 0) await this.#refreshDurability()
    if (ticks % RENEW_TICKS === 0) await this.#renew((ticks / RENEW_TICKS) % BUCKETS)
  }

  async #refreshDurability(): Promise<void> {
    const durability = await durabilityOf(this.#commands)
    if (durability === this.#durability) return
    this.#durability = durability
    this.#events?.status(this.status())
  }

  /** Keeps the registrations of one bucket's users from running out; all buckets take about four hours. */
  async #renew(bucket: number): Promise<void> {
    const counters = this.#keys.counters[bucket] as string
    const renewed = await Promise.all(
      this.local.users(bucket).map(async (user) => ({
        user,
        held: await this.#scripts.run('renew', [this.#keys.registry(user), counters], [this.#node])
      }))
    )
    const missing = new Set(renewed.flatMap(({ user, held }) => (held === 1 ? [] : [user])))
    if (missing.size > 0) this.#events?.suspect((user) => missing.has(user))
  }

  async #goodbye(): Promise<void> {
    const users = this.local.users().concat(this.local.doubtful())
    for (let from = 0; from < users.length; from += DETACH_BATCH) {
      const batch = users.slice(from, from + DETACH_BATCH)
      await Promise.all(batch.map((user) => this.#scripts.run('detach', [this.#keys.registry(user)], [this.#node, 0, ''])))
    }
    await this.#nodes?.leave()
  }
}

function connectionsIn(value: string): ConnectionInfo[] {
  return JSON.parse(value.slice(value.indexOf(' ') + 1)) as ConnectionInfo[]
}
