import { setTimeout as pause } from 'node:timers/promises'
import type { Durability, StoreSettings, StoreStatus } from '../store.ts'
import { StoreUnusable } from '../unusable.ts'
import { probe, type RedisStoreOptions } from './clients.ts'
import { ClusterMap } from './cluster-map.ts'
import { CommandNotSent } from './command-not-sent.ts'
import { type Keys, SLOT_OF_BUCKET } from './keys.ts'
import { Master } from './master.ts'
import { redirectionOf } from './redirection.ts'
import type { Reply } from './reply.ts'
import type { Args, ScriptName } from './script-table.ts'
import { type ScriptTexts, scriptTexts } from './script-texts.ts'
import { checkBuckets, checkPolicy, checkServer, describeFailure, durabilityOf, hiddenFacts } from './server-facts.ts'
import { redirectAddress, slotsText } from './slot-map.ts'

const PROBE_MS = 1000
/** A master that is not available is tried again after this, milliseconds. */
const RETRY_MS = 250
const FIRST_ATTEMPT_MS = 2000
/** A connection that left so many probes in a row unanswered is closed and opened anew. */
const SILENCES_MAX = 2
/** A redirected call is repeated for so long, milliseconds; while a slot moves, after each pause. */
const REDIRECT_MS = 1400
const REDIRECT_PAUSE_MS = 100

/** Work that depends on the masters being available. */
export interface Duties {
  /** Called with every message that a subscription brings. */
  receive(message: Buffer): void
  /** Prepares a master that answers. The master is available when this has resolved. */
  prepare(master: Master): Promise<void>
  /** Called after `prepare`, when the master is available, and whenever its buckets or subscriptions may have changed. */
  attend(master: Master): void
  /** Called when a master became available or ceased to be. */
  changed(status: StoreStatus): void
}

/**
 * The availability of each master of the database, and the way of every call to the master that owns its slot.
 *
 * While a master is not available, calls for its users reject at once and unsent; calls for users of the other masters are not affected.
 */
export class Availability {
  readonly #options: RedisStoreOptions
  readonly #keys: Keys
  readonly #texts: ScriptTexts
  readonly #masters = new Map<string, Master>()
  /** Undefined where one master owns every slot. */
  readonly #map: ClusterMap | undefined
  readonly #arriving = new Map<Master, Promise<void>>()
  /** Failures that were logged since their master was available, so that each is logged once. */
  readonly #logged = new Map<Master, Set<string>>()
  #duties: Duties | undefined
  #opened: (() => void) | undefined
  #refused: StoreUnusable | undefined
  /** Slots that no master owns, in words. */
  #unowned = ''
  #hidden: string | undefined
  /** Explains why no server of the Cluster could be asked for the owners of the slots. */
  #unreached = 'Redis cannot be reached'
  #timers: NodeJS.Timeout[] = []
  #closed = false

  constructor(settings: StoreSettings, options: RedisStoreOptions, keys: Keys) {
    this.#options = options
    this.#keys = keys
    this.#texts = scriptTexts(settings)
    if (options.clusterNodes === undefined) return
    const inUse = () => this.available.map(({ commands }) => commands)
    this.#map = new ClusterMap(
      options,
      inUse,
      () => this.#applyMap(),
      (error) => this.#noteUnreached(error)
    )
  }

  /** Masters that are available. */
  get available(): Master[] {
    return [...this.#masters.values()].filter(({ available }) => available)
  }

  /** Resolves when every master is available, or after about 2 s. Rejects with `StoreUnusable` when a server must not be used. */
  async open(duties: Duties): Promise<void> {
    this.#duties = duties
    const opened = new Promise<void>((resolve) => {
      this.#opened = resolve
    })
    const patience = setTimeout(() => this.#opened?.(), FIRST_ATTEMPT_MS)
    if (this.#map === undefined) this.#add('').buckets = SLOT_OF_BUCKET.map((_, bucket) => bucket)
    else this.#map.refresh()
    this.#timers = [setInterval(() => this.#probeAll(), PROBE_MS), setInterval(() => this.#retryAll(), RETRY_MS)]
    await opened
    clearTimeout(patience)
    this.#opened = undefined
    if (this.#refused === undefined) return
    this.close()
    throw this.#refused
  }

  /** Resolves when every call under way has settled. */
  async settled(): Promise<void> {
    await Promise.all([...this.#masters.values()].map((master) => master.settled()))
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearInterval(timer)
    this.#map?.close()
    for (const master of this.#masters.values()) {
      master.rejectUnderWay('closed')
      master.close()
    }
  }

  status(): StoreStatus {
    const masters = [...this.#masters.values()]
    const available = !this.#closed && masters.some((master) => master.available)
    const away = masters.filter((master) => !master.available).map(({ slots, reason }) => ({ slots, reason }))
    if (this.#unowned !== '') away.push({ slots: this.#unowned, reason: 'no Redis master owns them' })
    const reason = this.#closed ? 'closed' : (away[0]?.reason ?? this.#unreached)
    const status = { available, reason: available ? '' : reason, durability: this.#durability() }
    return available && away.length > 0 ? { ...status, away } : status
  }

  /** Returns whether the master of a slot is available. */
  owns(slot: number): boolean {
    return !(this.#masterOf(slot) instanceof CommandNotSent)
  }

  /** Returns whether a master owns a slot. */
  isMasterOf(master: Master, slot: number): boolean {
    return this.#map === undefined || this.#map.owners[slot] === master.address
  }

  /** Calls a script on the master of a slot. */
  run<Name extends ScriptName>(slot: number, name: Name, keys: readonly string[], args: Args<Name>): Promise<Reply> {
    return this.call(slot, ({ scripts }) => scripts.run(name, keys, args))
  }

  /** Makes one call to the master of a slot. Rejects with `CommandNotSent` when that master is not available. */
  call<Result>(slot: number, send: (master: Master) => Promise<Result>): Promise<Result> {
    const master = this.#masterOf(slot)
    if (master instanceof CommandNotSent) return Promise.reject(master)
    const answer = master.watch(() => send(master))
    return this.#map === undefined ? answer : answer.catch((error: unknown) => this.#redirect(slot, master, send, error))
  }

  /** Calls a script over one key of each bucket given, on the masters that are available. Rejects when that fails on all of them. */
  async overBuckets(buckets: ReadonlySet<number>, args: Omit<Args<'due'>, 'further'>): Promise<Reply[]> {
    const { available } = this
    if (available.length === 0) throw new CommandNotSent(this.status().reason)
    const calls = available.map((master) => {
      const own = master.buckets.filter((bucket) => buckets.has(bucket)).map((bucket) => this.#keys.due[bucket] as string)
      return master.watch(() => master.scripts.over('due', own, args))
    })
    const results = await Promise.allSettled(calls)
    const [first] = results
    if (first?.status === 'rejected' && results.every(({ status }) => status === 'rejected')) throw first.reason
    return results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  }

  /** Takes a master out of use until it answers again. */
  leave(master: Master, reason: string): void {
    this.#map?.refresh()
    if (this.#closed || !master.available) return
    master.available = false
    master.reason = reason
    master.rejectUnderWay(reason)
    this.#options.log?.warn(`${master.name} is not available: ${reason}`)
    this.#duties?.changed(this.status())
  }

  /** Reads a master's policy and durability again. A policy that evicts makes the master unusable until it is changed back. */
  async refreshFacts(master: Master): Promise<void> {
    await checkPolicy(master.commands).catch((error: unknown) => {
      if (error instanceof StoreUnusable) this.leave(master, error.message)
      throw error
    })
    const durability = await durabilityOf(master.commands)
    if (durability === master.durability) return
    master.durability = durability
    this.#duties?.changed(this.status())
  }

  #durability(): Durability {
    const { available } = this
    if (available.some(({ replication }) => replication?.confirmed)) return 'replicated'
    const levels = available.map(({ durability }) => durability)
    if (levels.length === 0 || levels.includes('none')) return 'none'
    return levels.includes('os') ? 'os' : 'fsync'
  }

  #masterOf(slot: number): Master | CommandNotSent {
    if (this.#closed) return new CommandNotSent('closed')
    const address = this.#map === undefined ? '' : this.#map.owners[slot]
    const master = address === undefined ? undefined : this.#masters.get(address)
    if (master === undefined) return new CommandNotSent(`no Redis master owns slot ${slot}`)
    return master.available ? master : new CommandNotSent(master.reason)
  }

  /** Repeats a call that a server redirected, and so did not carry out. */
  async #redirect<Result>(slot: number, asked: Master, send: (master: Master) => Promise<Result>, first: unknown): Promise<Result> {
    const deadline = performance.now() + REDIRECT_MS
    let error = first
    let from = asked
    for (;;) {
      const redirection = redirectionOf(error)
      if (redirection === undefined || performance.now() > deadline) throw error
      if (redirection.kind === 'again') await pause(REDIRECT_PAUSE_MS)
      else if (redirection.kind === 'moved') {
        this.#map?.correct(redirection.slot, redirectAddress(redirection.endpoint, from.commands.options.host ?? ''))
      }
      const asks = redirection.kind === 'ask'
      const target = asks ? this.#masterAt(redirection.endpoint, from) : this.#masterOf(slot)
      if (target instanceof CommandNotSent) throw target
      from = target
      try {
        return await target.watch(() => {
          // Commands of one turn of the event loop go in one pipeline, so that nothing comes between these two.
          if (asks) target.commands.asking().catch(() => undefined)
          return send(target)
        })
      } catch (next) {
        error = next
      }
    }
  }

  #masterAt(endpoint: string, from: Master): Master | CommandNotSent {
    const address = redirectAddress(endpoint, from.commands.options.host ?? '')
    const master = this.#masters.get(address)
    return master?.available ? master : new CommandNotSent(`Redis master ${address} is not available`)
  }

  #add(address: string): Master {
    const master = new Master(this.#options, this.#texts, address)
    this.#masters.set(address, master)
    this.#logged.set(master, new Set())
    for (const client of master.clients) {
      client.on('ready', () => void this.#arrive(master))
      client.on('error', (error: Error) => this.#note(master, error))
    }
    master.commands.on('close', () => this.leave(master, 'the connection was closed'))
    master.subscriber.on('close', () => master.subscribedBuckets.clear())
    // Redis unsubscribes everybody from a slot's channels when the slot gets an owner, be it the same one.
    master.subscriber.on('moved', () => {
      master.subscribedBuckets.clear()
      this.#map?.refresh()
      if (master.available) this.#duties?.attend(master)
    })
    master.subscriber.on('smessageBuffer', (_channel: Buffer, message: Buffer) => this.#duties?.receive(message))
    master.connect()
    return master
  }

  #remove(master: Master): void {
    this.#masters.delete(master.address)
    this.#logged.delete(master)
    master.rejectUnderWay('the Redis master has lost its slots')
    master.close()
  }

  /** Brings the masters in line with the owners of the slots. */
  #applyMap(): void {
    const owners = this.#map?.owners ?? []
    const bucketsByOwner = new Map<string, number[]>()
    for (const slot of [this.#keys.nodesSlot, this.#keys.bucketsSlot]) {
      const owner = owners[slot]
      if (owner !== undefined) bucketsByOwner.set(owner, [])
    }
    for (const [bucket, slot] of SLOT_OF_BUCKET.entries()) {
      const owner = owners[slot]
      if (owner === undefined) continue
      const buckets = bucketsByOwner.get(owner)
      if (buckets === undefined) bucketsByOwner.set(owner, [bucket])
      else buckets.push(bucket)
    }
    for (const master of this.#masters.values()) if (!bucketsByOwner.has(master.address)) this.#remove(master)
    this.#unowned = slotsText(owners, undefined)
    for (const [address, buckets] of bucketsByOwner) {
      const master = this.#masters.get(address) ?? this.#add(address)
      master.buckets = buckets
      master.slots = slotsText(owners, address)
      const own = new Set(buckets)
      for (const bucket of master.subscribedBuckets) if (!own.has(bucket)) master.subscribedBuckets.delete(bucket)
      if (master.available) this.#duties?.attend(master)
    }
    this.#duties?.changed(this.status())
  }

  /** Brings a master that is connected into use: checks the server, and prepares what depends on it. Never rejects. */
  #arrive(master: Master): Promise<void> {
    let arriving = this.#arriving.get(master)
    if (arriving !== undefined) return arriving
    arriving = this.#check(master)
      .catch((error: unknown) => this.#note(master, error))
      .finally(() => this.#arriving.delete(master))
    this.#arriving.set(master, arriving)
    return arriving
  }

  async #check(master: Master): Promise<void> {
    if (!master.connected) return
    await this.#askToWrite(master)
    await checkServer(master.commands)
    if (this.isMasterOf(master, this.#keys.bucketsSlot)) await checkBuckets(master.commands, this.#keys)
    master.durability = await durabilityOf(master.commands)
    await this.#warnOfHiddenFacts(master)
    await this.#duties?.prepare(master)
    if (!master.connected) return
    if (!master.available) {
      master.available = true
      this.#logged.get(master)?.clear()
      this.#options.log?.info(`${master.name} is available`)
      this.#duties?.changed(this.status())
    }
    this.#duties?.attend(master)
    if (this.#unowned === '' && this.available.length === this.#masters.size) this.#opened?.()
  }

  async #warnOfHiddenFacts(master: Master): Promise<void> {
    const hidden = await hiddenFacts(master.commands)
    if (hidden !== undefined && hidden !== this.#hidden) this.#options.log?.warn(hidden)
    this.#hidden = hidden
  }

  /** Rejects where the server would refuse a write. */
  async #askToWrite(master: Master): Promise<void> {
    const [bucket = -1] = master.buckets
    await master.scripts.run('probe', [this.#keys.counters[bucket] ?? this.#keys.nodes], {})
  }

  /** Keeps the reason why a master is not available yet. */
  #note(master: Master, error: unknown): void {
    if (error instanceof StoreUnusable && this.#opened !== undefined) {
      this.#refused = error
      this.#opened()
    }
    const logged = this.#logged.get(master)
    if (master.available || this.#closed || logged === undefined) return
    master.reason = describeFailure(error)
    if (logged.has(master.reason)) return
    logged.add(master.reason)
    this.#options.log?.warn(`${master.name} is not available: ${master.reason}`)
  }

  #noteUnreached(error: unknown): void {
    const reason = describeFailure(error)
    if (this.#closed || this.#masters.size > 0 || reason === this.#unreached) return
    this.#unreached = reason
    this.#options.log?.warn(`Redis is not available: ${reason}`)
  }

  #probeAll(): void {
    for (const master of this.#masters.values()) void this.#probe(master)
  }

  #retryAll(): void {
    const masters = [...this.#masters.values()].filter(({ available }) => !available)
    if (masters.length > 0 || this.#masters.size === 0 || this.#unowned !== '') this.#map?.refresh()
    for (const master of masters) if (master.connected && master.silences === 0) void this.#arrive(master)
  }

  async #probe(master: Master): Promise<void> {
    if (master.commands.status !== 'ready') return
    try {
      await probe(master.commands, () => this.#askToWrite(master))
      master.silences = 0
    } catch (error) {
      if (redirectionOf(error) !== undefined) this.#map?.refresh()
      else this.leave(master, describeFailure(error))
      const silent = !(error instanceof Error && error.name === 'ReplyError')
      master.silences = silent ? master.silences + 1 : 0
      if (silent && master.silences % SILENCES_MAX === 0) master.commands.disconnect(true)
      return
    }
    await Promise.all(master.clients.map((client) => client !== master.commands && this.#probeOther(client)))
  }

  /** A subscriber that does not answer receives nothing either: it is reconnected, and what it missed is read. */
  async #probeOther(client: Master['subscriber']): Promise<void> {
    if (client.status === 'ready') await probe(client, () => client.ping()).catch(() => client.disconnect(true))
  }
}
