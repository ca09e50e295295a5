import { setTimeout as pause } from 'node:timers/promises'
import type { Bus } from '../../bus/bus.ts'
import type { StoreSettings, StoreStatus } from '../store.ts'
import { StoreUnusable } from '../unusable.ts'
import { probe, type RedisStoreOptions } from './clients.ts'
import { ClusterMap } from './cluster-map.ts'
import { CommandNotSent } from './command-not-sent.ts'
import { type Keys, SLOT_OF_BUCKET } from './keys.ts'
import { CLOSED, durabilityOfAll, Master, type MasterListener, UNREACHED } from './master.ts'
import { redirectionOf } from './redirection.ts'
import type { Reply } from './reply.ts'
import type { Args, ScriptName } from './script-table.ts'
import { type ScriptTexts, scriptTexts } from './script-texts.ts'
import { checkBuckets, checkPolicy, checkServer, describeFailure, durabilityOf, hiddenFacts } from './server-facts.ts'
import { redirectAddress, slotsText } from './slot-map.ts'

/** Time between two probes of a master, milliseconds. */
const PROBE_MS = 1000
/** Time between two attempts to bring an unavailable master into use, milliseconds. */
const RETRY_MS = 250
/** Longest time that `open` waits for the masters, milliseconds. */
const FIRST_ATTEMPT_MS = 2000
/** Unanswered probes in a row after which a connection is closed and opened again. */
const UNANSWERED_MAX = 2
/** Longest time during which a redirected call is repeated, and the pause between attempts while a slot moves, milliseconds. */
const REDIRECT_MS = 1400
const REDIRECT_PAUSE_MS = 100

/**
 * Knows which masters are available, and routes every call to the master that owns its slot.
 *
 * While a master is not available, calls for its users reject at once with `CommandNotSent`. Calls for users of other masters are not
 * affected.
 */
export class Availability {
  readonly #options: RedisStoreOptions
  readonly #keys: Keys
  readonly #bus: Bus
  readonly #texts: ScriptTexts
  readonly #masters = new Map<string, Master>()
  /** Undefined where one master owns every slot. */
  readonly #map: ClusterMap | undefined
  readonly #checks = new Map<Master, Promise<void>>()
  /** Failures that were logged since the master was last available, so that each is logged once. */
  readonly #loggedFailures = new Map<Master, Set<string>>()
  #listener: MasterListener | undefined
  /** Ends the wait of `open`; undefined when nothing waits. Before that, masters that connect for the first time are no outage. */
  #endOpening: (() => void) | undefined
  /** Why a server must not be used, found while `open` waited. */
  #unusable: StoreUnusable | undefined
  /** Slots that no master owns, in words. */
  #unownedSlots = ''
  /** Sentence about facts that the Redis user may not read, as logged last. */
  #hiddenFacts: string | undefined
  /** Explains why no server of the Cluster could be asked for the owners of the slots. */
  #unreachedReason = UNREACHED
  #timers: NodeJS.Timeout[] = []
  #closed = false

  constructor(settings: StoreSettings, options: RedisStoreOptions, keys: Keys, bus: Bus) {
    this.#options = options
    this.#keys = keys
    this.#bus = bus
    this.#texts = scriptTexts(settings, bus.publish === undefined ? 'in-step' : 'by-node')
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
  async open(listener: MasterListener): Promise<void> {
    this.#listener = listener
    const opened = new Promise<void>((resolve) => {
      this.#endOpening = resolve
    })
    const timeout = setTimeout(() => this.#endOpening?.(), FIRST_ATTEMPT_MS)
    if (this.#map === undefined) this.#add('').buckets = SLOT_OF_BUCKET.map((_, bucket) => bucket)
    else this.#map.refresh()
    this.#timers = [setInterval(() => this.#probeAll(), PROBE_MS), setInterval(() => this.#retryAll(), RETRY_MS)]
    await opened
    clearTimeout(timeout)
    this.#endOpening = undefined
    if (this.#unusable === undefined) return
    this.close()
    throw this.#unusable
  }

  /** Resolves when every call in progress has settled. */
  async settled(): Promise<void> {
    await Promise.all([...this.#masters.values()].map((master) => master.settled()))
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearInterval(timer)
    this.#map?.close()
    for (const master of this.#masters.values()) {
      master.rejectInProgress('closed')
      master.close()
    }
  }

  status(): StoreStatus {
    let available = false
    const unavailable: { slots: string; reason: string }[] = []
    for (const master of this.#masters.values()) {
      if (master.available) available = !this.#closed
      else unavailable.push({ slots: master.slots, reason: master.reason })
    }
    if (this.#unownedSlots !== '') unavailable.push({ slots: this.#unownedSlots, reason: 'no Redis master owns them' })
    const reason = this.#closed ? 'closed' : (unavailable[0]?.reason ?? this.#unreachedReason)
    const status = { available, reason: available ? '' : reason, durability: durabilityOfAll(this.#masters.values()) }
    return available && unavailable.length > 0 ? { ...status, away: unavailable } : status
  }

  /** Returns whether the master of a slot is available. */
  isAvailable(slot: number): boolean {
    return !(this.#masterOf(slot) instanceof CommandNotSent)
  }

  /** Returns whether a master owns a slot. */
  isMasterOf(master: Master, slot: number): boolean {
    return this.#map === undefined || this.#map.owners[slot] === master.address
  }

  /** Runs a script on the master of a slot. */
  run<Name extends ScriptName>(slot: number, name: Name, keys: readonly string[], args: Args<Name>): Promise<Reply> {
    return this.route(slot, (master) => master.run(name, keys, args))
  }

  /** Sends one call to the master of a slot. Rejects with `CommandNotSent` if that master is not available. */
  route<Result>(slot: number, send: (master: Master) => Promise<Result>): Promise<Result> {
    const master = this.#masterOf(slot)
    if (master instanceof CommandNotSent) return Promise.reject(master)
    const reply = master.track(() => send(master))
    return this.#map === undefined ? reply : reply.catch((error: unknown) => this.#followRedirections(slot, master, send, error))
  }

  /** Runs a script over an index of these buckets, whose keys are given by bucket, on the available masters. Rejects if that fails on all of them. */
  async over<Name extends 'due' | 'renew-presence'>(
    name: Name,
    keys: readonly string[],
    buckets: ReadonlySet<number>,
    args: Omit<Args<Name>, 'further'>
  ): Promise<Reply[]> {
    const { available } = this
    if (available.length === 0) throw new CommandNotSent(this.status().reason)
    const calls = available.map((master) => {
      const own = master.buckets.filter((bucket) => buckets.has(bucket)).map((bucket) => keys[bucket] as string)
      return master.track(() => master.scripts.over(name, own, args, []))
    })
    const results = await Promise.allSettled(calls)
    const [first] = results
    if (first?.status === 'rejected' && results.every(({ status }) => status === 'rejected')) throw first.reason
    return results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  }

  /** Has the subscriptions to a master's buckets made again where they ended; to those of every master if the address is undefined. */
  noteInterruption(address: string | undefined): void {
    if (address !== undefined) this.#map?.refresh()
    for (const master of this.available) if (address === undefined || address === master.address) this.#listener?.onReady(master)
  }

  /** Takes a master out of use until it answers again. */
  markUnavailable(master: Master, reason: string): void {
    this.#map?.refresh()
    if (this.#closed || !master.available) return
    master.available = false
    master.reason = reason
    master.rejectInProgress(reason)
    this.#options.log?.warn(`${master.name} is not available: ${reason}`)
    this.#listener?.onStatus(this.status())
  }

  /** Reads a master's policy and durability again. A policy that evicts makes the master unusable until it is changed back. */
  async refreshFacts(master: Master): Promise<void> {
    await checkPolicy(master.commands).catch((error: unknown) => {
      if (error instanceof StoreUnusable) this.markUnavailable(master, error.message)
      throw error
    })
    const durability = await durabilityOf(master.commands)
    if (durability === master.durability) return
    master.durability = durability
    this.#listener?.onStatus(this.status())
  }

  #masterOf(slot: number): Master | CommandNotSent {
    if (this.#closed) return new CommandNotSent('closed')
    const address = this.#map === undefined ? '' : this.#map.owners[slot]
    const master = address === undefined ? undefined : this.#masters.get(address)
    if (master === undefined) return new CommandNotSent(`no Redis master owns slot ${slot}`)
    return master.available ? master : new CommandNotSent(master.reason)
  }

  /** Repeats a call that a server redirected instead of carrying it out. */
  async #followRedirections<Result>(
    slot: number,
    asked: Master,
    send: (master: Master) => Promise<Result>,
    first: unknown
  ): Promise<Result> {
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
        return await target.track(() => {
          // The client sends the commands of one turn of the event loop in one pipeline, so nothing comes between these two.
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
    const master = new Master(this.#options, this.#texts, address, this.#bus)
    this.#masters.set(address, master)
    this.#loggedFailures.set(master, new Set())
    for (const client of master.clients) {
      client.on('ready', () => void this.#check(master))
      client.on('error', (error: Error) => this.#noteFailure(master, error))
    }
    master.onClose((isUnexplained) => {
      this.markUnavailable(master, CLOSED)
      if (isUnexplained) this.#noteFailure(master, new Error('Connection is closed.'))
    })
    master.connect()
    return master
  }

  #remove(master: Master): void {
    this.#masters.delete(master.address)
    this.#loggedFailures.delete(master)
    master.rejectInProgress('the Redis master has lost its slots')
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
    this.#unownedSlots = slotsText(owners, undefined)
    for (const [address, buckets] of bucketsByOwner) {
      const master = this.#masters.get(address) ?? this.#add(address)
      master.buckets = buckets
      master.slots = slotsText(owners, address)
      this.#bus.assign(address, buckets)
      if (master.available) this.#listener?.onReady(master)
    }
    if (this.#endOpening === undefined) this.#listener?.onStatus(this.status())
  }

  /** Checks a master that is connected, and brings it into use. Calls for the same master share one check. Never rejects. */
  #check(master: Master): Promise<void> {
    let check = this.#checks.get(master)
    if (check !== undefined) return check
    check = this.#bringIntoUse(master)
      .catch((error: unknown) => this.#noteFailure(master, error))
      .finally(() => this.#checks.delete(master))
    this.#checks.set(master, check)
    return check
  }

  async #bringIntoUse(master: Master): Promise<void> {
    if (!master.connected) return
    await this.#checkWritable(master)
    await checkServer(master.commands)
    if (this.isMasterOf(master, this.#keys.bucketsSlot)) await checkBuckets(master.commands, this.#keys)
    master.durability = await durabilityOf(master.commands)
    await this.#warnOfHiddenFacts(master)
    await this.#listener?.prepare(master)
    if (!master.connected) return
    if (!master.available) {
      master.available = true
      this.#loggedFailures.get(master)?.clear()
      this.#options.log?.info(`${master.name} is available`)
      this.#listener?.onStatus(this.status())
    }
    this.#listener?.onReady(master)
    if (this.#unownedSlots === '' && this.available.length === this.#masters.size) this.#endOpening?.()
  }

  async #warnOfHiddenFacts(master: Master): Promise<void> {
    const hidden = await hiddenFacts(master.commands)
    if (hidden !== undefined && hidden !== this.#hiddenFacts) this.#options.log?.warn(hidden)
    this.#hiddenFacts = hidden
  }

  /** Rejects if the server would refuse a write. */
  async #checkWritable(master: Master): Promise<void> {
    const [bucket = -1] = master.buckets
    await master.scripts.run('probe', [this.#keys.counters[bucket] ?? this.#keys.nodes], {})
  }

  /** Keeps and logs the reason why a master is not available yet. */
  #noteFailure(master: Master, error: unknown): void {
    if (error instanceof StoreUnusable && this.#endOpening !== undefined) {
      this.#unusable = error
      this.#endOpening()
    }
    const logged = this.#loggedFailures.get(master)
    if (master.available || this.#closed || logged === undefined) return
    master.reason = describeFailure(error)
    if (logged.has(master.reason)) return
    logged.add(master.reason)
    this.#options.log?.warn(`${master.name} is not available: ${master.reason}`)
  }

  #noteUnreached(error: unknown): void {
    const reason = describeFailure(error)
    if (this.#closed || this.#masters.size > 0 || reason === this.#unreachedReason) return
    this.#unreachedReason = reason
    this.#options.log?.warn(`Redis is not available: ${reason}`)
  }

  #probeAll(): void {
    for (const master of this.#masters.values()) void this.#probe(master)
  }

  #retryAll(): void {
    const masters = [...this.#masters.values()].filter(({ available }) => !available)
    if (masters.length > 0 || this.#masters.size === 0 || this.#unownedSlots !== '') this.#map?.refresh()
    for (const master of masters) if (master.connected && master.unansweredProbes === 0) void this.#check(master)
  }

  async #probe(master: Master): Promise<void> {
    if (master.commands.status !== 'ready') return
    try {
      await probe(master.commands, () => this.#checkWritable(master))
      master.unansweredProbes = 0
    } catch (error) {
      if (redirectionOf(error) !== undefined) this.#map?.refresh()
      else this.markUnavailable(master, describeFailure(error))
      const isUnanswered = !(error instanceof Error && error.name === 'ReplyError')
      master.unansweredProbes = isUnanswered ? master.unansweredProbes + 1 : 0
      if (isUnanswered && master.unansweredProbes % UNANSWERED_MAX === 0) master.commands.disconnect(true)
      return
    }
    await Promise.all(master.clients.map((client) => client !== master.commands && this.#probeOther(client)))
  }

  /** Reconnects a client that does not answer. A subscriber would receive nothing either; after it connects, the node reads what it missed. */
  async #probeOther(client: Master['commands']): Promise<void> {
    if (client.status === 'ready') await probe(client, () => client.ping()).catch(() => client.disconnect(true))
  }
}
