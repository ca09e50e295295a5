import { randomBytes } from 'node:crypto'
import slotOf from 'cluster-key-slot'
import type { Bus } from '../../bus/bus.ts'
import { RedisBus } from '../../bus/redis-bus.ts'
import { errors } from '../../errors.ts'
import { newEpoch, newId } from '../../ids.ts'
import type { Position } from '../../protocol/index.ts'
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
  Outbox,
  PublishCommand,
  PublishResult,
  QueueInfo,
  ReadCommand,
  RetractResult,
  ScheduledPage,
  ScheduledQuery,
  Start,
  Store,
  StoreEvents,
  StoreSettings,
  StoreStatus,
  SweepResult
} from '../store.ts'
import { attachArgs, inboxArgs, optionsText, readArgs } from './arguments.ts'
import { Availability } from './availability.ts'
import type { RedisStoreOptions } from './clients.ts'
import { CommandNotSent } from './command-not-sent.ts'
import { Housekeeping } from './housekeeping.ts'
import { bucketOf, Keys, SLOT_OF_BUCKET, slotOfUser } from './keys.ts'
import { ADVANCES, type Master } from './master.ts'
import { RedisAudiences } from './redis-audiences.ts'
import { RedisOutbox } from './redis-outbox.ts'
import { Registrations } from './registrations.ts'
import {
  advanceResult,
  answerResult,
  attachResult,
  backlog,
  findResult,
  inboxPage,
  markResult,
  publishResult,
  queueInfo,
  scheduledPage
} from './replies.ts'
import { number, type Reply, text } from './reply.ts'
import { Room } from './room.ts'
import { ScriptBatcher } from './script-batcher.ts'
import {
  type Args,
  type BatchScript,
  fieldsOf,
  type LogScript,
  type OwnArgs,
  scripts,
  type TopicArgs,
  type TopicScript,
  type Value
} from './script-table.ts'
import { slices } from './slices.ts'
import { type Renewed, sweep } from './sweep.ts'
import { UserScan } from './user-scan.ts'

/** Batches are sent only where one master owns every slot. */
const ANY_SLOT = 0

const SECRET_BYTES = 32

/** The store of any number of nodes that share a Redis. Each method is one script there. */
export class RedisStore implements Store {
  readonly outbox: Outbox
  readonly audiences: RedisAudiences
  readonly #settings: StoreSettings
  readonly #log: RedisStoreOptions['log']
  readonly #keys: Keys
  readonly #bus: Bus
  readonly #availability: Availability
  readonly #registrations: Registrations
  #housekeeping: Housekeeping | undefined
  /** Undefined where each publish, or each acknowledgement, must be a call of its own. */
  readonly #publishBatcher: ScriptBatcher | undefined
  readonly #ackBatcher: ScriptBatcher | undefined
  readonly #room = new Room(
    (user) => this.#availability.run(slotOfUser(user), 'room', this.#keys.ofUser(user, scripts.room.keys), {}),
    () => this.#events?.status(this.status())
  )
  #events: StoreEvents | undefined
  #node = ''
  #isClosing = false
  #closed = false

  constructor(settings: StoreSettings, options: RedisStoreOptions) {
    this.#settings = settings
    this.#log = options.log
    this.#keys = new Keys(options.keyPrefix)
    this.#bus = options.bus ?? new RedisBus((bucket, node) => this.#keys.channel(bucket, node))
    this.#availability = new Availability(settings, options, this.#keys, this.#bus)
    this.outbox = new RedisOutbox(this.#keys, {
      step: (name, user, args) => this.#step(name, user, args),
      share: () => this.#mapErrors(() => this.#shareOfBuckets()),
      dueUsers: (keys, buckets, overdueMs, maxUsers) => this.#dueUsers(keys, buckets, overdueMs, maxUsers)
    })
    this.audiences = new RedisAudiences(this.#keys, newId(), {
      run: (bucket, name, topic, args) => this.#topicStep(bucket, name, topic, args),
      share: () => this.#mapErrors(() => this.#shareOfBuckets()),
      due: (keys, buckets, overdueMs, max) => this.#dueUsers(keys, buckets, overdueMs, max),
      scanUsers: () => new UserScan(this.#availability, this.#keys),
      call: (make) => this.#mapErrors(make)
    })
    const onCounted = (bucket: number, counter: number): void => this.#housekeeping?.wakeups.note(bucket, counter)
    this.#registrations = new Registrations(this.#availability, this.#keys, onCounted)
    if (options.clusterNodes !== undefined) return
    this.#ackBatcher = this.#batcher('ack-usual')
    if (options.waitReplicas === 0) this.#publishBatcher = this.#batcher('publish-usual')
  }

  /** Number of times that a bucket was found to have lost wake-ups. Its users were reported as suspect. */
  get wakeupsLost(): number {
    return this.#housekeeping?.wakeups.lost ?? 0
  }

  async open(node: string, events: StoreEvents): Promise<void> {
    this.#node = node
    this.#events = events
    const warn = (message: string): void => this.#log?.warn(message)
    const housekeeping = new Housekeeping(
      this.#availability,
      this.#registrations,
      this.#bus,
      this.#keys,
      node,
      events,
      this.#settings,
      warn
    )
    this.#housekeeping = housekeeping
    const joined = this.#bus.open(node, {
      onMessage: (message) => housekeeping.wakeups.receive(message),
      onInterruption: (place) => this.#availability.noteInterruption(place)
    })
    try {
      await this.#availability.open(housekeeping)
      await joined
    } catch (error) {
      await this.#bus.close()
      throw error
    }
    await housekeeping.start()
  }

  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    await this.audiences.close()
    this.#closed = true
    this.#room.close()
    this.#housekeeping?.stop()
    await this.#availability.settled()
    await this.#housekeeping?.deregister().catch(() => undefined)
    this.#availability.close()
    await this.#bus.close()
  }

  status(): StoreStatus {
    return { ...this.#availability.status(), full: this.#room.full }
  }

  availableTo(user: string): boolean {
    return !this.#closed && this.#availability.isAvailable(slotOfUser(user))
  }

  now(): number {
    return this.#settings.clock?.() ?? this.#housekeeping?.nodes.clock.now() ?? Date.now()
  }

  differingNodes(): number {
    return this.#housekeeping?.settings.differing ?? 0
  }

  publish(command: PublishCommand): Promise<PublishResult> {
    const { user, id, keyed, tail, halfLife, options, broadcastAt = 1 } = command
    const stem = this.#keys.stem(user)
    const item = { stem, user, id, keyed: keyed ? broadcastAt : '0', tail, halfLife, options: optionsText(options) }
    const line = this.#publishBatcher?.add(item) ?? this.#step('publish-full', user, item).then(text)
    return line.then(publishResult)
  }

  async advance(user: string): Promise<AdvanceResult> {
    const step = ({ advances, scripts }: Master): Promise<Reply> =>
      advances.take(() => scripts.run('advance', ...this.#inputs('advance', user, {})))
    return advanceResult(await this.#mapErrors(() => this.#availability.route(slotOfUser(user), step)))
  }

  async sweep(): Promise<SweepResult> {
    return await sweep(this.#keys, this.#settings, {
      concurrency: ADVANCES,
      share: () => this.#mapErrors(() => this.#shareOfBuckets()),
      dueUsers: (...args) => this.#dueUsers(...args),
      renewPresence: (buckets, args) => this.#renewPresence(buckets, args),
      advance: (user) => this.advance(user)
    })
  }

  async attach(command: AttachCommand): Promise<AttachResult> {
    const { user, connections, start } = command
    const registration = { node: this.#node, count: connections.length, connections: JSON.stringify(connections) }
    const args = { ...readArgs(start, command), ...registration, ...attachArgs(command) }
    const step = ({ attaches, scripts }: Master): Promise<Reply> =>
      attaches.take(() => scripts.run('attach', ...this.#inputs('attach', user, args)))
    const result = await this.#registrations.attach(user, connections, async () => {
      const reply = await this.#mapErrors(() => this.#availability.route(slotOfUser(user), step))
      const { counter, result, kicks } = attachResult(reply, start)
      if (result.status === 'attached') this.#housekeeping?.wakeups.note(bucketOf(user), counter)
      this.#housekeeping?.kick(user, kicks)
      return result
    })
    return result.status === 'limit' ? { status: 'limit', ...(await this.#silence(user)) } : result
  }

  async read(command: ReadCommand): Promise<Backlog> {
    const { user, position } = command
    const start: Start = { at: 'position', position }
    return backlog(await this.#step('attach', user, readArgs(start, command)), start)
  }

  async detach(user: string, connections: ConnectionInfo[]): Promise<void> {
    this.#registrations.set(user, connections)
    await this.#mapErrors(() => this.#registrations.write(user, this.#node))
  }

  async ack(user: string, deviceId: string, position: Position): Promise<void> {
    const { epoch, offset, id8 } = position
    const item = { stem: this.#keys.stem(user), user, device: deviceId, ackedEpoch: epoch, ackedOffset: offset, ackedId8: id8 }
    if (this.#ackBatcher === undefined) await this.#step('ack-full', user, item)
    else await this.#ackBatcher.add(item)
  }

  async mark(command: MarkCommand): Promise<MarkResult | 'restarted'> {
    const { user, target, state, only = '', ageMs = 0 } = command
    const upTo = 'upTo' in target ? target.upTo : { epoch: '', offset: 0 }
    const wantedIds = 'ids' in target ? target.ids : []
    const args = { rowId: newId(), state, only, upToEpoch: upTo.epoch, upToOffset: upTo.offset, ageMs, wantedIds }
    return markResult(await this.#step('mark', user, args))
  }

  async retract(user: string, id: string, reason: string, broadcastAt = 0, only: 'scheduled' | '' = ''): Promise<RetractResult> {
    const args = { rowId: newId(), id, reason: JSON.stringify(reason), broadcastAt, only }
    return text(await this.#step('retract', user, args)) as RetractResult
  }

  async inbox(query: InboxQuery): Promise<InboxPage | 'restarted'> {
    return inboxPage(await this.#step('inbox', query.user, inboxArgs(query)))
  }

  async answer({ user, id, action, deviceId, byLink = false }: AnswerCommand): Promise<AnswerResult> {
    const args = { rowId: newId(), id, action, device: deviceId, deviceJson: JSON.stringify(deviceId), byLink: byLink ? '1' : '0' }
    return answerResult(await this.#step('answer', user, args))
  }

  async scheduled({ user, after, limit }: ScheduledQuery): Promise<ScheduledPage> {
    const args = { afterAt: after?.deliverAt ?? 0, afterNo: after?.no ?? 0, maxItems: limit }
    return scheduledPage(await this.#step('scheduled', user, args))
  }

  async erase(user: string): Promise<void> {
    await this.audiences.leaveAll(user)
    await this.#step('erase', user, { reason: 'erased' })
    await this.audiences.eraseName(user)
  }

  async secret(name: string): Promise<Buffer> {
    const key = this.#keys.secret(name)
    const value = randomBytes(SECRET_BYTES).toString('hex')
    return Buffer.from(text(await this.#mapErrors(() => this.#availability.run(slotOf(key), 'secret', [key], { value }))), 'hex')
  }

  async find(user: string, id: string): Promise<FindResult | undefined> {
    return findResult(await this.#step('find', user, { id }))
  }

  async queue(user: string): Promise<QueueInfo> {
    return queueInfo(await this.#step('queue', user, {}))
  }

  async connections(user: string): Promise<ConnectionInfo[]> {
    const connectionsByNode = await this.#mapErrors(() => this.#registrations.read(user))
    const live = await this.#housekeeping?.nodes.live()
    return [...connectionsByNode].flatMap(([node, connections]) => (live === undefined || live.includes(node) ? connections : []))
  }

  async disconnect(command: DisconnectCommand): Promise<number> {
    const { user, connectionId = '', reason, revoke } = command
    return number(await this.#step('disconnect', user, { connectionId, revoke: revoke ? '1' : '0', reason }))
  }

  async revokedBefore(user: string): Promise<number> {
    const keys = this.#keys.ofUser(user, scripts['revoked-before'].keys)
    return Number(text(await this.#mapErrors(() => this.#availability.run(slotOfUser(user), 'revoked-before', keys, {}))))
  }

  /** Returns the buckets whose releases are this node's to do. */
  #shareOfBuckets(): Promise<number[]> {
    return this.#housekeeping?.nodes.share() ?? Promise.resolve([])
  }

  /** Returns the longest time since a heartbeat among the other nodes that hold connections of the user. */
  async #silence(user: string): Promise<{ silentMs: number } | undefined> {
    const nodes = await this.#mapErrors(() => this.#registrations.nodesOf(user))
    const others = nodes.filter((node) => node !== this.#node)
    if (others.length === 0) return undefined
    return { silentMs: await this.#mapErrors(() => this.#housekeeping?.nodes.silence(others) ?? Promise.resolve(0)) }
  }

  /** Finds the users of these buckets whose time in an index, whose keys are given by bucket, is overdue for so long. */
  async #dueUsers(
    keys: readonly string[],
    buckets: ReadonlySet<number>,
    overdueMs: number,
    maxUsers: number,
    horizonMs: number | '' = ''
  ): Promise<string[]> {
    const args = { clock: this.#settings.clock?.() ?? '', maxUsers, overdueMs, horizonMs }
    return (await this.#mapErrors(() => this.#availability.over('due', keys, buckets, args))).map(text)
  }

  async #renewPresence(buckets: ReadonlySet<number>, given: { maxUsers: number; overdueMs: number; checkMs: number }): Promise<Renewed[]> {
    const args = { clock: this.#settings.clock?.() ?? '', ...given }
    const parts = await this.#mapErrors(() => this.#availability.over('renew-presence', this.#keys.times, buckets, args))
    return slices(parts, 2).map(([user, nextAt]) => ({ user: text(user as Reply), nextAt: number(nextAt) }))
  }

  #step<Name extends LogScript>(name: Name, user: string, args: OwnArgs<Name>): Promise<Reply> {
    return this.#mapErrors(() => this.#availability.run(slotOfUser(user), name, ...this.#inputs(name, user, args)), user)
  }

  /** Runs a script of a topic on the master of a bucket. */
  #topicStep<Name extends TopicScript>(bucket: number, name: Name, topic: string, args: TopicArgs<Name>): Promise<Reply> {
    const full = { clock: this.#clock(), topic, ...args } as unknown as Args<Name>
    const slot = SLOT_OF_BUCKET[bucket] as number
    const keys = this.#keys.ofBucket(bucket, scripts[name].keys)
    return this.#mapErrors(() => this.#availability.run(slot, name, keys, full), topic)
  }

  /** Returns the keys and arguments of a log's script. */
  #inputs<Name extends LogScript>(name: Name, user: string, args: OwnArgs<Name>): [keys: string[], args: Args<Name>] {
    const full = { user, clock: this.#clock(), newEpoch: newEpoch(), ...args }
    return [this.#keys.ofUser(user, scripts[name].keys), full as unknown as Args<Name>]
  }

  #batcher(name: BatchScript): ScriptBatcher {
    const send = (items: Value[]): Promise<Reply> => {
      if (this.#closed) throw new CommandNotSent('closed')
      const args = { clock: this.#clock(), newEpoch: newEpoch(), items }
      return this.#availability.route(ANY_SLOT, ({ scripts }) => scripts.run(name, [], args))
    }
    return new ScriptBatcher(fieldsOf(name), send, (cause, { user }) => this.#errorOf(cause, String(user)))
  }

  /** Returns the argument `clock` of the scripts: see `prelude-clock.lua`. */
  #clock(): string {
    if (this.#settings.clock !== undefined) return String(this.#settings.clock())
    const agedTo = this.#housekeeping?.nodes.clock.agedTo()
    return agedTo === undefined ? '' : `<${agedTo}`
  }

  /** Makes a call, and maps its errors by `#errorOf`. */
  async #mapErrors<Result>(call: () => Promise<Result>, user = ''): Promise<Result> {
    try {
      if (this.#closed) throw new CommandNotSent('closed')
      return await call()
    } catch (cause) {
      throw this.#errorOf(cause, user)
    }
  }

  /** Returns the error for the failure of a call: `StoreFull` if Redis has no memory left, else `StoreUnavailable`. */
  #errorOf(cause: unknown, user: string): Error {
    if (!(cause instanceof Error && cause.message.startsWith('OOM'))) return new errors.StoreUnavailable({ cause })
    this.#room.noteRefusal(user)
    return new errors.StoreFull({ cause })
  }
}
