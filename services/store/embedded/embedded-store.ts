import { setImmediate as turn } from 'node:timers/promises'
import { errors } from '../../errors.ts'
import { newEpoch, newId } from '../../ids.ts'
import type { Position } from '../../protocol/index.ts'
import { admit } from '../admit.ts'
import { advanceUsers, drainUser } from '../advance-users.ts'
import { INLINE_MAX, META_TTL_MS } from '../limits.ts'
import { Machine } from '../machine.ts'
import { Semaphore } from '../semaphore.ts'
import { appendedRows, emptyState } from '../state.ts'
import type {
  AdvanceResult,
  AnswerCommand,
  AnswerResult,
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
  RetractResult,
  ScheduledPage,
  ScheduledQuery,
  Store,
  StoreEvents,
  StoreSettings,
  StoreStatus,
  SweepResult
} from '../store.ts'
import { StoreClock } from '../store-clock.ts'
import { audienceSession } from './audience-session.ts'
import type { CachedUser } from './cache.ts'
import { encodeEffects, encodeKeptParts, encodeRemoval } from './codec.ts'
import { openLevel } from './database.ts'
import { EmbeddedAudiences } from './embedded-audiences.ts'
import { EmbeddedOutbox } from './embedded-outbox.ts'
import type { EmbeddedOptions } from './options.ts'
import { ConnectionRegistry } from './registry.ts'
import type { Session } from './session.ts'
import { SessionKeeper } from './session-keeper.ts'
import { sizeAfter } from './size.ts'
import { isIdle, upkeep } from './upkeep.ts'

/** Interval of the attempts to reopen the folder after a failed write, milliseconds. */
const HEAL_INTERVAL_MS = 1000
/** Users advanced at once. After an outage thousands of users are due; a publish waits behind this many steps at most. */
const ADVANCES_MAX = 64
/** Age of meta, milliseconds, after which a step of a connected user writes it again, so that upkeep does not take them for idle. */
const TOUCH_AFTER_MS = META_TTL_MS / 16

/**
 * The store of a single node: the state machine over an embedded database, in a folder that one process holds.
 *
 * **Durable before told.** Each result and each wake-up comes after the sync of every change that it reports. Concurrent steps share syncs.
 *
 * After a failed write the store is unavailable. `SessionKeeper` drops the states in memory and reopens the folder until a write succeeds.
 */
export class EmbeddedStore implements Store {
  readonly outbox = new EmbeddedOutbox({
    carryOut: (user, run, grows) => this.#step(user, run, grows),
    callers: (lane, limit) => this.#sessionFor(false).due.callers(lane, this.#clock(), limit)
  })
  readonly audiences = new EmbeddedAudiences({
    carryOut: (run, grows) => this.#track(() => run(audienceSession(this.#keeper, this.#sessionFor(grows)))),
    now: () => this.#clock()
  })
  readonly #settings: StoreSettings
  readonly #upkeepMs: number
  readonly #clock: () => number
  readonly #wallClock = new StoreClock()
  readonly #registry = new ConnectionRegistry()
  /** The users whose connections are about to be closed by an erasure. */
  readonly #erasing = new Set<string>()
  readonly #stop = new AbortController()
  readonly #advances = new Semaphore(ADVANCES_MAX)
  #events: StoreEvents | undefined
  readonly #keeper: SessionKeeper
  #stepsUnderWay = 0
  /** Called when the last step in progress ends. */
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
    this.#registry.startedAt = this.#clock()
    this.#timers = [
      setInterval(() => this.#keeper.heal(), HEAL_INTERVAL_MS).unref(),
      setInterval(() => this.#startUpkeep(), this.#upkeepMs).unref()
    ]
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

  async advance(user: string): Promise<AdvanceResult> {
    return await this.#advances.take(() => this.#step(user, (machine) => machine.advance(), true))
  }

  async sweep(): Promise<SweepResult> {
    const now = this.#clock()
    const users = this.#sessionFor(true).due.users(now, this.#settings.rateWindowMs)
    return await advanceUsers(users, ADVANCES_MAX, (user) => drainUser(user, now, (name) => this.advance(name)))
  }

  async attach(command: AttachCommand): Promise<AttachResult> {
    const { user, connections } = command
    const { maxConnections } = this.#settings
    const call = this.#registry.begin(user)
    let previous: ConnectionInfo[] | undefined
    try {
      return await this.#step<AttachResult>(user, (machine, { state }) => {
        const admission = admit(command, [], state.revokedBefore, maxConnections)
        if (admission.status !== 'admitted') return admission
        const backlog = machine.attach(command)
        const registered = this.#registry.get(user)
        if (this.#registry.write(call, connections)) previous = registered
        return { status: 'attached', backlog, displaced: admission.displaced.map(({ connectionId }) => connectionId) }
      })
    } catch (error) {
      if (previous !== undefined) this.#registry.write(call, previous)
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

  async retract(user: string, id: string, reason: string, broadcastAt?: number, only?: 'scheduled'): Promise<RetractResult> {
    return await this.#step(user, (machine) => machine.retract(id, reason, broadcastAt, only), true)
  }

  async inbox(query: InboxQuery): Promise<InboxPage | 'restarted'> {
    return await this.#step(query.user, (machine) => machine.inbox(query))
  }

  async answer(command: AnswerCommand): Promise<AnswerResult> {
    return await this.#step(command.user, (machine) => machine.answer(command), true)
  }

  async scheduled(query: ScheduledQuery): Promise<ScheduledPage> {
    return await this.#step(query.user, (machine) => machine.scheduled(query))
  }

  async erase(user: string): Promise<void> {
    await this.audiences.leaveAll(user)
    try {
      await this.#step(user, (machine) => {
        machine.erase()
        this.#erasing.add(user)
      })
      // Lets the wake-ups of the step leave before the order to close.
      await turn()
      const isConnected = this.#registry.has(user)
      await this.detach(user, [])
      if (isConnected) this.#events?.kick({ user, connectionId: undefined, reason: 'erased', revoked: false })
    } finally {
      this.#erasing.delete(user)
    }
    await this.audiences.eraseName(user)
    await this.#sessionFor(false).compact(user)
  }

  async secret(name: string): Promise<Buffer> {
    return await this.#sessionFor(true).secret(name)
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
    const concerned = this.#registry.get(user).filter((info) => connectionId === undefined || info.connectionId === connectionId)
    if (concerned.length > 0) this.#events?.kick({ user, connectionId, reason, revoked: revoke })
    return concerned.length
  }

  async revokedBefore(user: string): Promise<number> {
    return await this.#step(user, (_machine, { state }) => state.revokedBefore)
  }

  /** Returns the time up to which rows have aged. A clock from the settings is taken as it is. */
  #agedTo(now: number): number {
    if (this.#settings.clock !== undefined) return now
    this.#wallClock.observe(now)
    return this.#wallClock.agedTo() ?? now
  }

  /**
   * Returns the session for a step.
   *
   * @param grows whether the step makes the log grow
   * @throws StoreUnavailable if there is none; StoreFull if the step grows the log and the disk is full
   */
  #sessionFor(grows: boolean): Session {
    const { session, full } = this.#keeper
    if (session === undefined || this.#closing !== undefined || (grows && full)) throw this.#keeper.refusal()
    return session
  }

  /**
   * Carries out one step of a user. Resolves when the step, and every earlier one of the user, is on disk.
   *
   * If the disk fills up in the middle of a step that does not make the log grow, the step is repeated on the session that keeps changes in memory.
   */
  async #step<Result>(user: string, run: (machine: Machine, cached: CachedUser) => Result, grows = false): Promise<Result> {
    return await this.#track(async () => {
      const session = this.#sessionFor(grows)
      return await this.#stepIn(session, user, run).catch((error: unknown) => {
        const next = this.#keeper.session
        if (grows || next === undefined || next === session || !(error instanceof errors.StoreFull)) throw error
        return this.#stepIn(next, user, run)
      })
    })
  }

  /** Makes a call for which `close` waits. */
  async #track<Result>(call: () => Promise<Result>): Promise<Result> {
    this.#stepsUnderWay += 1
    try {
      return await call()
    } finally {
      this.#stepsUnderWay -= 1
      if (this.#stepsUnderWay === 0) this.#onIdle()
    }
  }

  async #stepIn<Result>(session: Session, user: string, run: (machine: Machine, cached: CachedUser) => Result): Promise<Result> {
    let entry = session.cache.get(user)
    for (; entry === undefined; entry = session.cache.get(user)) await session.load(user)
    if (session !== this.#keeper.session) throw this.#keeper.refusal()
    const result = this.#apply(session, entry, run)
    if (entry.group?.settled === false) await entry.group.done
    return result
  }

  /** Runs a step on the state, in one turn of the event loop, and adds its effects to the journal. */
  #apply<Result>(session: Session, entry: CachedUser, run: (machine: Machine, cached: CachedUser) => Result): Result {
    const { state, user } = entry
    const before = { epoch: state.epoch, top: state.top, floor: state.floor }
    const isConnected = this.#registry.has(user) && !this.#erasing.has(user)
    const now = this.#clock()
    const connections = { listening: isConnected, registersSince: this.#registry.startedAt }
    const context = { now, agedTo: this.#agedTo(now), newEpoch: newEpoch(), newId: newId(), ...connections }
    const machine = new Machine(state, this.#settings, context)
    const { untoldLoss } = entry
    const keptParts = untoldLoss?.damagedKeys === undefined ? [] : encodeKeptParts(entry.prefix, state, untoldLoss.damagedKeys)
    if (untoldLoss !== undefined) machine.lose()
    const result = run(machine, entry)
    const { effects } = machine
    const isWritten = effects.length > 0 || (this.#registry.has(user) && now - entry.touched > TOUCH_AFTER_MS)
    const times = session.due.note(user, state, () => machine.nextRelease(), now, isWritten)
    if (isWritten) {
      entry.touched = now
      const operations = [...keptParts, ...encodeEffects(entry.prefix, before, entry, effects), ...times]
      entry.untoldLoss = undefined
      entry.group = session.journal.add(operations)
      if (isConnected) this.#wakeLater(entry, appendedRows(before, effects))
      session.cache.resize(entry, sizeAfter(entry, effects))
    }
    return result
  }

  /** Sends the wake-ups of a step once its group is on disk. */
  #wakeLater({ user, group }: CachedUser, appended: ReturnType<typeof appendedRows>): void {
    for (const { epoch, offset, row } of appended) {
      const wake = { user, epoch, offset, row: row.length <= INLINE_MAX ? row : undefined }
      group?.afterwards.push(() => {
        if (this.#registry.has(user)) this.#events?.wake(wake)
      })
    }
  }

  #startUpkeep(): void {
    const { session } = this.#keeper
    if (session === undefined || this.#upkeeping !== undefined) return
    const task = {
      database: session.database,
      retentionMs: this.#settings.retentionMs,
      now: () => this.#agedTo(this.#clock()),
      trim: (user: string) => this.#step(user, () => {}),
      remove: (user: string) => this.#removeIfIdle(user),
      signal: this.#stop.signal
    }
    this.#upkeeping = upkeep(task)
      .then(() => this.audiences.upkeep())
      .catch(() => {})
      .finally(() => {
        this.#upkeeping = undefined
      })
  }

  async #removeIfIdle(user: string): Promise<void> {
    await this.#step(user, (machine, entry) => {
      const now = this.#clock()
      const { session } = this.#keeper
      const isUsed = this.#registry.has(user) || machine.effects.length > 0
      if (session === undefined || isUsed || !isIdle(entry, this.#settings, now, this.#agedTo(now))) return
      entry.group = session.journal.add(encodeRemoval(entry.prefix, entry.state))
      Object.assign(entry.state, emptyState())
    })
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    for (const timer of this.#timers) clearInterval(timer)
    if (this.#stepsUnderWay > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    await this.#upkeeping
    await this.#keeper.close()
    this.#registry.clear()
  }
}
