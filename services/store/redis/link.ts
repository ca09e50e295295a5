import type { AttachResult, ConnectionInfo, Durability, StoreEvents, StoreSettings, StoreStatus } from '../store.ts'
import type { StoreClock } from '../store-clock.ts'
import { StoreUnusable } from '../unusable.ts'
import { type Client, createClient, ping, type RedisStoreOptions } from './clients.ts'
import { BUCKETS, bucketOf, type Keys } from './keys.ts'
import { Nodes } from './nodes.ts'
import { Registrations } from './registrations.ts'
import { Replication } from './replication.ts'
import { type Reply, type ScriptName, Scripts } from './scripts.ts'
import { checkPolicy, checkServer, describeFailure, durabilityOf, hiddenFacts } from './server-facts.ts'
import { Unsent } from './unsent.ts'
import { Wakeups } from './wakeups.ts'

const TICK_MS = 1000
const FIRST_ATTEMPT_MS = 2000
const BEAT_TICKS = 2
/** Policy and durability can be changed at run time, and must be noticed within 10 s. */
const FACTS_TICKS = 5
const RENEW_TICKS = 60
/** A connection that left so many pings unanswered, one after the other, is made anew. */
const SILENCES_MAX = 2

/**
 * One node's hold on the database: its connections, whether they can be used, and what has to be done from time to time.
 * While it is not available every call rejects at once, unsent.
 */
export class Link {
  readonly #options: RedisStoreOptions
  readonly #keys: Keys
  readonly #commands: Client
  readonly #subscriber: Client
  readonly #scripts: Scripts
  readonly #registrations: Registrations
  readonly #replication: Replication | undefined
  /** Every connection there is. */
  readonly #clients: Set<Client>
  readonly #underWay = new Map<Promise<unknown>, (error: Error) => void>()
  #nodes: Nodes | undefined
  #wakeups: Wakeups | undefined
  #events: StoreEvents | undefined
  #node = ''
  #available = false
  #reason = 'not opened'
  readonly #told = new Set<string>()
  #durability: Durability = 'none'
  #refused: StoreUnusable | undefined
  #hidden: string | undefined
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
    this.#registrations = new Registrations(this.#scripts, keys, (bucket, counter) => this.#wakeups?.heard(bucket, counter))
    if (options.waitReplicas > 0) this.#replication = new Replication(settings, options)
    this.#clients = new Set([this.#commands, this.#subscriber, this.#replication?.client ?? this.#commands])
  }

  get wakeupsLost(): number {
    return this.#wakeups?.lost ?? 0
  }

  /** Rejects with `StoreUnusable` when the database must not be used; resolves within about 2 s when it cannot be reached. */
  async open(node: string, events: StoreEvents): Promise<void> {
    this.#node = node
    this.#events = events
    this.#reason = 'Redis cannot be reached'
    this.#nodes = new Nodes(this.#commands, this.#scripts, this.#keys, node)
    this.#wakeups = new Wakeups(this.#subscriber, this.#scripts, this.#keys, node, events)
    let patience: NodeJS.Timeout | undefined
    const first = new Promise<void>((resolve) => {
      const attempt = (): void => void this.#arrive().then(() => this.#available && resolve(), resolve)
      for (const client of this.#clients) client.on('ready', attempt)
      patience = setTimeout(resolve, FIRST_ATTEMPT_MS)
    })
    this.#commands.on('close', () => this.#leave('the connection was closed'))
    for (const client of this.#clients) client.on('error', (error: Error) => this.#note(error))
    for (const client of this.#clients) client.connect().catch(() => undefined)
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
    await Promise.allSettled(this.#underWay.keys())
    if (this.#available) await this.#goodbye().catch(() => undefined)
    this.#available = false
    this.#reason = 'closed'
    for (const client of this.#clients) client.disconnect()
  }

  status(): StoreStatus {
    const durability = this.#replication?.confirmed ? 'replicated' : this.#durability
    return { available: this.#available, reason: this.#available ? '' : this.#reason, durability }
  }

  /** The database's clock as of the last heartbeat. */
  get clock(): StoreClock | undefined {
    return this.#nodes?.clock
  }

  run(name: ScriptName, keys: string[], args: (string | number)[]): Promise<Reply> {
    return this.#watch(() => this.#scripts.run(name, keys, args))
  }

  runOver(name: 'due', keys: string[], args: (string | number)[]): Promise<Reply[]> {
    return this.#watch(() => this.#scripts.over(name, keys, args))
  }

  publish(keys: string[], args: string[]): Promise<Reply> {
    const replication = this.#replication
    return replication === undefined ? this.run('publish', keys, args) : this.#watch(() => replication.publish(keys, args))
  }

  /** Carries out an attach; what it registers is kept up from then on. `call` gives the node's counter after it, too. */
  attach(
    user: string,
    connections: ConnectionInfo[],
    call: () => Promise<{ counter: number; result: AttachResult }>
  ): Promise<AttachResult> {
    return this.#registrations.attach(user, connections, async () => {
      const { counter, result } = await call()
      if (result.status === 'attached') this.#wakeups?.heard(bucketOf(user), counter)
      return result
    })
  }

  /** Writes what the registry holds for the user. When that fails it is tried again each second. */
  async detach(user: string, connections: ConnectionInfo[]): Promise<void> {
    this.#registrations.want(user, connections)
    await this.#watch(() => this.#registrations.write(user, this.#node))
  }

  /** The buckets this node sweeps. */
  share(): Promise<number[]> {
    return this.#watch(() => this.#nodes?.share() ?? Promise.resolve<number[]>([]))
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

  /** What has no answer when the database goes away is not waited for. */
  #watch<Result>(call: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (!this.#available || this.#closed) throw new Unsent(this.#reason)
      const answer = call()
      this.#underWay.set(answer, reject)
      answer.then(resolve, reject).finally(() => this.#underWay.delete(answer))
    })
  }

  /** From connected to available: checks the server, subscribes, and compares what was heard with what was sent. */
  #arrive(): Promise<void> {
    this.#arriving ??= this.#check()
      .catch((error: unknown) => {
        this.#note(error)
        if (error instanceof StoreUnusable) this.#refused = error
        throw error
      })
      .finally(() => {
        this.#arriving = undefined
      })
    return this.#arriving
  }

  async #check(): Promise<void> {
    if ([...this.#clients].some(({ status }) => status !== 'ready') || this.#closed) return
    await checkServer(this.#commands, this.#keys)
    this.#durability = await durabilityOf(this.#commands)
    await this.#warnOfHiddenFacts()
    await this.#nodes?.beat()
    await this.#wakeups?.subscribe()
    this.#registrations.doubt()
    if (this.#closed || this.#commands.status !== 'ready') return
    if (!this.#available) {
      this.#available = true
      this.#told.clear()
      this.#options.log?.info('Redis is available')
      this.#events?.status(this.status())
    }
    this.#wakeups?.tellSuspects()
  }

  /** Why it is still away; the log hears each reason once. */
  #note(error: unknown): void {
    if (this.#available || this.#closed) return
    this.#reason = describeFailure(error)
    if (this.#told.has(this.#reason)) return
    this.#told.add(this.#reason)
    this.#options.log?.warn(`Redis is not available: ${this.#reason}`)
  }

  #leave(reason: string): void {
    if (this.#closed || !this.#available) return
    this.#available = false
    this.#reason = reason
    for (const reject of this.#underWay.values()) reject(new Error(reason))
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
      this.#leave(describeFailure(error))
      this.#silences += 1
      if (this.#silences % SILENCES_MAX === 0) this.#commands.disconnect(true)
      return
    }
    await Promise.all([...this.#clients].map((client) => client !== this.#commands && this.#probeOther(client)))
    if (!this.#available) await this.#arrive()
  }

  /** A subscriber that does not answer hears nothing either: it connects anew, and compares. */
  async #probeOther(client: Client): Promise<void> {
    if (client.status === 'ready') await ping(client).catch(() => client.disconnect(true))
  }

  async #keepHouse(ticks: number): Promise<void> {
    if (ticks % BEAT_TICKS === 0) await this.#beat()
    this.#wakeups?.tellSuspects()
    this.#registrations.doubt((await this.#wakeups?.check(this.#registrations.buckets())) ?? [])
    await this.#registrations.retry(this.#node)
    if (ticks % FACTS_TICKS === 0) await this.#refreshFacts()
    await this.#nodes?.tidy()
    if (ticks % RENEW_TICKS === 0) await this.#renew((ticks / RENEW_TICKS) % BUCKETS)
  }

  async #warnOfHiddenFacts(): Promise<void> {
    const hidden = await hiddenFacts(this.#commands)
    if (hidden !== undefined && hidden !== this.#hidden) this.#options.log?.warn(hidden)
    this.#hidden = hidden
  }

  /** A policy that evicts makes the database unusable until it is changed back: `#probe` checks it again each second. */
  async #refreshFacts(): Promise<void> {
    await checkPolicy(this.#commands).catch((error: unknown) => {
      if (error instanceof StoreUnusable) this.#leave(error.message)
      throw error
    })
    const durability = await durabilityOf(this.#commands)
    if (durability === this.#durability) return
    this.#durability = durability
    this.#events?.status(this.status())
  }

  /** All buckets take about four hours. */
  async #renew(bucket: number): Promise<void> {
    const gone = await this.#registrations.renew(bucket, this.#node)
    if (gone.size > 0) this.#events?.suspect((user) => gone.has(user))
  }

  /** A database that answers and takes no write is not available either: a replica, a full disk, a Cluster that is down. */
  async #beat(): Promise<void> {
    try {
      await this.#nodes?.beat()
    } catch (error) {
      this.#leave(describeFailure(error))
    }
  }

  async #goodbye(): Promise<void> {
    await this.#registrations.removeAll(this.#node)
    await this.#nodes?.leave()
  }
}

function connectionsIn(value: string): ConnectionInfo[] {
  return JSON.parse(value.slice(value.indexOf(' ') + 1)) as ConnectionInfo[]
}
