import { errors } from '../../errors.ts'
import { newEpoch, newId } from '../../ids.ts'
import type { Position } from '../../protocol/index.ts'
import { admit } from '../admit.ts'
import { INLINE_MAX, META_TTL_MS } from '../limits.ts'
import { Machine } from '../machine.ts'
import { releaseInTurns } from '../release-in-turns.ts'
import { Semaphore } from '../semaphore.ts'
import { appendedRows, type Effect, emptyState } from '../state.ts'
import type {
  AttachCommand,
  AttachResult,
  Backlog,
  ConnectionInfo,
  DisconnectCommand,
  FindResult,
  InboxPage,
  InboxQuery,
  MarkCommand,
  MarkResult,
  PublishCommand,
  PublishResult,
  QueueInfo,
  ReadCommand,
  ReleaseResult,
  RetractResult,
  Store,
  StoreEvents,
  StoreSettings,
  StoreStatus,
  SweepResult
} from '../store.ts'
import { StoreClock } from '../store-clock.ts'
import type { Entry } from './cache.ts'
import { encodeEffects, encodeFresh, encodeParkedIndex, encodeRemoval, rowSize, sizeOf } from './codec.ts'
import { type OpenDatabase, openLevel } from './database.ts'
import { ConnectionRegistry } from './registry.ts'
import type { Session } from './session.ts'
import { SessionKeeper, type StoreLog } from './session-keeper.ts'
import { upkeep } from './upkeep.ts'

/** After a failed write the folder is tried again this often, milliseconds. */
const PROBE_MS = 1000
/** Releases under way at once: after an outage thousands of users are due, and a publish waits behind these and no more. */
const RELEASES = 64
/** Users a sweep releases at once. */
const SWEEP_SLICE = 64
/** An attach notes that the user is in use when meta was not written for this long, milliseconds. */
const TOUCH_AFTER_MS = META_TTL_MS / 16

export interface EmbeddedOptions {
  /** The data folder; made when it is not there. */
  folder: string
  settings: StoreSettings
  /** Memory for users in use, bytes. Default 64 MiB. */
  cacheBytes?: number
  /** How often expired rows and idle users are looked for, milliseconds. Default one hour. */
  upkeepMs?: number
  /** Default: LevelDB. */
  openDatabase?: OpenDatabase
  log?: StoreLog
}

/**
 * The store of a single node: the state machine over an embedded database, in one folder that one process holds.
 *
 * Every answer, and every wake-up, comes after a sync of all it tells of. Concurrent commands share syncs.
 * A write that fails makes the store unavailable: it forgets what is in memory, opens the folder anew, and is
 * there again when a write succeeds.
 */
export class EmbeddedStore implements Store {
  readonly #settings: StoreSettings
  readonly #upkeepMs: number
  readonly #clock: () => number
  readonly #wallClock = new StoreClock()
  readonly #registry = new ConnectionRegistry()
  readonly #stop = new AbortController()
  readonly #releases = new Semaphore(RELEASES)
  #events: StoreEvents | undefined
  readonly #keeper: SessionKeeper
  /** Steps under way, and who waits for the last of them. */
  #steps = 0
  #onIdle: () => void = () => {}
  #upkeeping: Promise<void> | undefined
  #timers: NodeJS.Timeout[] = []
  #closing: Promise<void> | undefined

  constructor(options: EmbeddedOptions) {
    this.#settings = options.settings
    this.#upkeepMs = options.upkeepMs ?? 3_600_000
    this.#clock = options.settings.clock ?? Date.now
    this.#keeper = new SessionKeeper({
      folder: options.folder,
      cacheBytes: options.cacheBytes ?? 64 * 1024 * 1024,
      openDatabase: options.openDatabase ?? openLevel,
      clock: this.#clock,
      retentionMs: options.settings.retentionMs,
      log: options.log,
      onStatus: () => this.#events?.status(this.status())
    })
  }

  async open(_node: string, events: StoreEvents): Promise<void> {
    this.#events = events
    await this.#keeper.open()
    this.#timers = [setInterval(() => this.#keeper.heal(), PROBE_MS).unref(), setInterval(() => this.#upkeep(), this.#upkeepMs).unref()]
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  status(): StoreStatus {
    const { session, full, damage, reason } = this.#keeper
    return { available: session !== undefined, reason, durability: 'fsync', full, damage }
  }

  availableTo(): boolean {
    return this.#keeper.session !== undefined
  }

  now(): number {
    return this.#clock()
  }

  differingNodes(): number {
    return 0
  }

  async publish(command: PublishCommand): Promise<PublishResult> {
    return await this.#step(
      command.user,
      (machine) => {
        const result = machine.publish(command)
        if (result.status === 'accepted' && !result.replayed && this.#registry.has(command.user)) result.nodes = 1
        return result
      },
      true
    )
  }

  async release(user: string): Promise<ReleaseResult> {
    return await this.#releases.take(() => this.#step(user, (machine) => machine.release(), true))
  }

  async sweep(): Promise<SweepResult> {
    const now = this.#clock()
    const users: string[] = []
    // The next one is due within a window. A time further ahead is of a clock that was set back, or of a longer window: it is looked at now.
    const beyond = now + this.#settings.rateWindowMs
    for (const [user, at] of this.#use(true).due) if (at <= now || at > beyond) users.push(user)
    const drain = async (user: string): Promise<ReleaseResult> => {
      const result = await this.release(user)
      let last = result
      while (last.released > 0 && last.parked > 0 && last.nextAt <= now) {
        last = await this.release(user)
        result.released += last.released
        result.folded += last.folded
      }
      return { ...result, parked: last.parked, nextAt: last.nextAt }
    }
    return await releaseInTurns(users, SWEEP_SLICE, drain)
  }

  async attach(command: AttachCommand): Promise<AttachResult> {
    const { user, connections } = command
    const { maxConnections } = this.#settings
    const call = this.#registry.begin(user)
    let before: ConnectionInfo[] | undefined
    try {
      return await this.#step<AttachResult>(user, (machine, { state }) => {
        const admission = admit(command, [], state.revokedBefore, maxConnections)
        if (admission.status !== 'admitted') return admission
        const backlog = machine.attach(command)
        const held = this.#registry.get(user)
        if (this.#registry.write(call, connections)) before = held
        return { status: 'attached', backlog, displaced: admission.displaced.map(({ connectionId }) => connectionId) }
      })
    } catch (error) {
      if (before !== undefined) this.#registry.write(call, before)
      throw error
    } finally {
      this.#registry.end(call)
    }
  }

  async read(command: ReadCommand): Promise<Backlog> {
    return await this.#step(command.user, (machine) => machine.read(command))
  }

  async detach(user: string, connections: ConnectionInfo[]): Promise<void> {
    const call = this.#registry.begin(user)
    this.#registry.write(call, connections)
    this.#registry.end(call)
  }

  async ack(user: string, deviceId: string, position: Position): Promise<void> {
    await this.#step(user, (machine) => machine.ack(deviceId, position))
  }

  async mark(command: MarkCommand): Promise<MarkResult | 'restarted'> {
    return await this.#step(command.user, (machine) => machine.mark(command), true)
  }

  async retract(user: string, id: string, reason: string): Promise<RetractResult> {
    return await this.#step(user, (machine) => machine.retract(id, reason), true)
  }

  async inbox(query: InboxQuery): Promise<InboxPage | 'restarted'> {
    return await this.#step(query.user, (machine) => machine.inbox(query))
  }

  async find(user: string, id: string): Promise<FindResult | undefined> {
    return await this.#step(user, (machine) => machine.find(id))
  }

  async queue(user: string): Promise<QueueInfo> {
    return await this.#step(user, (machine) => machine.queue())
  }

  async connections(user: string): Promise<ConnectionInfo[]> {
    return [...this.#registry.get(user)]
  }

  async disconnect(command: DisconnectCommand): Promise<number> {
    const { user, connectionId, reason, revoke } = command
    if (revoke) await this.#step(user, (machine) => machine.revoke(), true)
    const concerned = this.#registry
      .get(user)
      .filter((connection) => connectionId === undefined || connection.connectionId === connectionId)
    if (concerned.length > 0) this.#events?.kick({ user, connectionId, reason, revoked: revoke })
    return concerned.length
  }

  async revokedBefore(user: string): Promise<number> {
    return await this.#step(user, (_machine, { state }) => state.revokedBefore)
  }

  /** The time up to which rows have aged. A clock that was given has no steps. */
  #agedTo(now: number): number {
    if (this.#settings.clock !== undefined) return now
    this.#wallClock.look(now)
    return this.#wallClock.agedTo() ?? now
  }

  /** @param grows whether the step makes the log grow, which a full disk refuses */
  #use(grows: boolean): Session {
    const { session, full } = this.#keeper
    if (session === undefined || this.#closing !== undefined || (grows && full)) throw this.#keeper.refusal()
    return session
  }

  /**
   * One atomic step of a user. Resolves when it, and everything it may have seen, is on disk.
   *
   * @param grows whether the step makes the log grow. One that does not is carried out on a full disk, too: what it writes waits in memory
   */
  async #step<Result>(user: string, run: (machine: Machine, entry: Entry) => Result, grows = false): Promise<Result> {
    this.#steps += 1
    try {
      const session = this.#use(grows)
      return await this.#stepIn(session, user, run).catch((error: unknown) => {
        const next = this.#keeper.session
        if (grows || next === undefined || next === session || !(error instanceof errors.StoreFull)) throw error
        return this.#stepIn(next, user, run)
      })
    } finally {
      this.#steps -= 1
      if (this.#steps === 0) this.#onIdle()
    }
  }

  async #stepIn<Result>(session: Session, user: string, run: (machine: Machine, entry: Entry) => Result): Promise<Result> {
    const entry = session.cache.get(user) ?? (await session.load(user))
    if (session !== this.#keeper.session) throw this.#keeper.refusal()
    const result = this.#apply(session, entry, run)
    if (entry.group?.settled === false) await entry.group.done
    return result
  }

  #apply<Result>(session: Session, entry: Entry, run: (machine: Machine, entry: Entry) => Result): Result {
    const { state, user } = entry
    const before = { epoch: state.epoch, top: state.top, floor: state.floor }
    const woken = this.#registry.has(user)
    const now = this.#clock()
    const context = { now, agedTo: this.#agedTo(now), newEpoch: newEpoch(), newId: newId(), listening: woken }
    const machine = new Machine(state, this.#settings, context)
    const { doubt } = entry
    const fresh = doubt?.keys === undefined ? [] : encodeFresh(entry.prefix, state, doubt.keys)
    if (doubt !== undefined) machine.lose()
    const result = run(machine, entry)
    const { effects } = machine
    const parked = state.parked.length > 0
    if (effects.length > 0 || (this.#registry.has(user) && now - entry.touched > TOUCH_AFTER_MS)) {
      entry.touched = now
      const operations = [...fresh, ...encodeEffects(entry.prefix, before, entry, effects)]
      entry.doubt = undefined
      if (parked !== session.due.has(user)) operations.push(encodeParkedIndex(user, parked))
      entry.group = session.journal.add(operations)
      if (woken) this.#wakeLater(entry, appendedRows(before, effects))
      session.cache.resize(entry, resized(entry, effects))
    }
    if (parked) session.due.set(user, machine.nextAt())
    else session.due.delete(user)
    return result
  }

  #wakeLater({ user, group }: Entry, appended: ReturnType<typeof appendedRows>): void {
    for (const { epoch, offset, row } of appended) {
      const wake = { user, epoch, offset, row: row.length <= INLINE_MAX ? row : undefined }
      group?.afterwards.push(() => {
        if (this.#registry.has(user)) this.#events?.wake(wake)
      })
    }
  }

  #upkeep(): void {
    const { session } = this.#keeper
    if (session === undefined || this.#upkeeping !== undefined) return
    const task = {
      database: session.database,
      retentionMs: this.#settings.retentionMs,
      now: () => this.#agedTo(this.#clock()),
      trim: (user: string) => this.#step(user, () => {}),
      remove: (user: string) => this.#remove(user),
      signal: this.#stop.signal
    }
    this.#upkeeping = upkeep(task)
      .catch(() => {})
      .finally(() => {
        this.#upkeeping = undefined
      })
  }

  async #remove(user: string): Promise<void> {
    await this.#step(user, (machine, entry) => {
      const { state } = entry
      const since = this.#agedTo(this.#clock()) - META_TTL_MS
      const isRevocationKept = state.revokedBefore > 0 && state.revokedBefore + this.#settings.revocationTtlMs > this.#clock()
      const inUse =
        this.#registry.has(user) || state.parked.length > 0 || state.rows.length > 0 || entry.touched > since || isRevocationKept
      const { session } = this.#keeper
      if (session === undefined || inUse || machine.effects.length > 0 || [...state.cursors.values()].some(({ at }) => at > since)) return
      entry.group = session.journal.add(encodeRemoval(entry.prefix, state))
      Object.assign(state, emptyState())
    })
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    for (const timer of this.#timers) clearInterval(timer)
    if (this.#steps > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    await this.#upkeeping
    await this.#keeper.close()
    this.#registry.clear()
  }
}

/** The memory an entry takes after the effects: counted anew when something went, else added up. */
function resized(entry: Entry, effects: Effect[]): number {
  let { bytes } = entry
  for (const effect of effects) {
    if (effect.type === 'trim' || effect.type === 'unpark' || effect.type === 'replace') return sizeOf(entry.state)
    if (effect.type === 'append') bytes += rowSize(effect.row)
    else if (effect.type === 'park') bytes += rowSize(effect.parked.row)
    else if (effect.type !== 'unread') bytes += 100
  }
  return bytes
}
