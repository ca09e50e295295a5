import { errors } from '../../errors.ts'
import { newEpoch, newId } from '../../ids.ts'
import type { Position } from '../../protocol/index.ts'
import type {
  AttachCommand,
  AttachResult,
  Backlog,
  ConnectionInfo,
  DisconnectCommand,
  Found,
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
  Start,
  Store,
  StoreEvents,
  StoreSettings,
  StoreStatus,
  SweepResult
} from '../store.ts'
import { summarizeSweep } from '../summarize-sweep.ts'
import type { RedisStoreOptions } from './clients.ts'
import { Keys } from './keys.ts'
import { Link } from './link.ts'
import { attachResult, backlog, found, inboxPage, list, number, publishLine, publishResult, queueInfo, text } from './replies.ts'
import { ScriptBatcher } from './script-batcher.ts'
import type { Reply, ScriptName } from './scripts.ts'
import { Semaphore } from './semaphore.ts'

/** Attaches under way at once: when everybody returns, a publish waits behind these and no more. */
const ATTACHES = 32

/** Users of one bucket whose notifications one sweep releases. */
const SWEEP_BATCH = 100

/** What another node should have released so long ago, milliseconds, any node does: it takes longer until a node counts as dead. */
const OVERDUE_MS = 2000

/** The store of any number of nodes that share a Redis: each method is one script there. */
export class RedisStore implements Store {
  readonly kind = 'redis'
  readonly #settings: StoreSettings
  readonly #keys: Keys
  readonly #link: Link
  /** Undefined where each user's step must be a call of its own. */
  readonly #publishes: ScriptBatcher | undefined
  readonly #acks: ScriptBatcher | undefined
  readonly #attaches = new Semaphore(ATTACHES)
  #node = ''

  constructor(settings: StoreSettings, options: RedisStoreOptions) {
    this.#settings = settings
    this.#keys = new Keys(options.keyPrefix)
    this.#link = new Link(settings, options, this.#keys)
    if (options.clusterNodes !== undefined) return
    this.#acks = this.#group('ack-many')
    if (options.waitReplicas === 0) this.#publishes = this.#group('publish-many')
  }

  /** How often wake-ups were found to have been lost, counted in buckets. Each was healed by `suspect`. */
  get wakeupsLost(): number {
    return this.#link.wakeupsLost
  }

  async open(node: string, events: StoreEvents): Promise<void> {
    this.#node = node
    await this.#link.open(node, events)
  }

  async close(): Promise<void> {
    await this.#link.close()
  }

  status(): StoreStatus {
    return this.#link.status()
  }

  now(): number {
    return this.#settings.clock?.() ?? this.#link.clock?.now() ?? Date.now()
  }

  async publish(command: PublishCommand): Promise<PublishResult> {
    const { user, id, keyed, tail, halfLife } = command
    if (this.#publishes !== undefined) {
      const line = await this.#grouped(this.#publishes, user, keyed ? '1' : '0', String(halfLife), id, tail)
      return publishLine(line.split(' '))
    }
    const args = [...this.#head(user), id, keyed ? '1' : '0', tail, String(halfLife)]
    return publishResult(await this.#guard(() => this.#link.publish(this.#keys.log(user), args)))
  }

  async release(user: string): Promise<ReleaseResult> {
    const [released, folded, left, nextAt] = list(await this.#step('release', user))
    return { released: number(released), folded: number(folded), left: number(left), nextAt: number(nextAt) }
  }

  async sweep(): Promise<SweepResult> {
    const mine = new Set(await this.#guard(() => this.#link.share()))
    const users = [...(await this.#due((bucket) => mine.has(bucket), 0)), ...(await this.#due((bucket) => !mine.has(bucket), OVERDUE_MS))]
    return summarizeSweep(users, await Promise.all(users.map((user) => this.release(user))))
  }

  async attach(command: AttachCommand): Promise<AttachResult> {
    const { user, connections, issuedAt, deviceId, start } = command
    const registration = [this.#node, String(connections.length), JSON.stringify(connections), String(issuedAt)]
    const args = [...registration, ...readArgs(deviceId, start, command)]
    const step = (): Promise<Reply> => this.#step('attach', user, ...args)
    return await this.#link.attach(user, connections, async () => attachResult(await this.#attaches.take(step), start))
  }

  async read(command: ReadCommand): Promise<Backlog> {
    const { user, position } = command
    const start: Start = { at: 'position', position }
    return backlog(await this.#step('attach', user, '', '0', '', '0', ...readArgs('', start, command)), start)
  }

  async detach(user: string, connections: ConnectionInfo[]): Promise<void> {
    await this.#guard(() => this.#link.detach(user, connections))
  }

  async ack(user: string, deviceId: string, position: Position): Promise<void> {
    const fields = [deviceId, position.epoch, String(position.offset), position.id8] as const
    if (this.#acks === undefined) await this.#step('ack', user, ...fields)
    else await this.#grouped(this.#acks, user, ...fields)
  }

  async mark(command: MarkCommand): Promise<MarkResult> {
    const { user, target, state, ageMs = 0 } = command
    const upTo = 'upTo' in target ? target.upTo : { epoch: '', offset: 0 }
    const wanted = 'ids' in target ? target.ids : []
    const [unread, ids] = list(await this.#step('mark', user, newId(), state, upTo.epoch, String(upTo.offset), String(ageMs), ...wanted))
    return { ids: list(ids).map(text), unread: number(unread) }
  }

  async retract(user: string, id: string, reason: string): Promise<RetractResult> {
    return text(await this.#step('retract', user, newId(), id, JSON.stringify(reason))) as RetractResult
  }

  async inbox(query: InboxQuery): Promise<InboxPage> {
    const { user, states, before, limit } = query
    const wanted = states?.length === 0 ? ['none'] : (states ?? [])
    return inboxPage(await this.#step('inbox', user, before === undefined ? '' : String(before), String(limit), ...wanted))
  }

  async find(user: string, id: string): Promise<Found | undefined> {
    return found(await this.#step('find', user, id))
  }

  async queue(user: string): Promise<QueueInfo> {
    return queueInfo(await this.#step('queue', user))
  }

  async connections(user: string): Promise<ConnectionInfo[]> {
    const { registered, live } = await this.#guard(() => this.#link.registered(user))
    return live.flatMap((node) => registered.get(node) ?? [])
  }

  async disconnect(command: DisconnectCommand): Promise<number> {
    const { user, connectionId = '', reason, revoke } = command
    const named = `"connectionId":${JSON.stringify(connectionId)}`
    return number(await this.#step('disconnect', user, connectionId, revoke ? '1' : '0', reason, named))
  }

  async revokedBefore(user: string): Promise<number> {
    return await this.#guard(() => this.#link.revokedBefore(user))
  }

  async #due(of: (bucket: number) => boolean, sinceMs: number): Promise<string[]> {
    const keys = this.#keys.due.filter((_, bucket) => of(bucket))
    return (await this.#guard(() => this.#link.runOver('due', keys, [this.#settings.clock?.() ?? '', SWEEP_BATCH, sinceMs]))).map(text)
  }

  #step(name: ScriptName, user: string, ...args: string[]): Promise<Reply> {
    return this.#guard(() => this.#link.run(name, this.#keys.log(user), [...this.#head(user), ...args]))
  }

  #group(name: ScriptName): ScriptBatcher {
    return new ScriptBatcher((items) => this.#link.run(name, [], [this.#clock(), newEpoch(), ...items.flat()]))
  }

  #grouped(group: ScriptBatcher, user: string, ...fields: string[]): Promise<string> {
    return this.#guard(() => group.add(this.#keys.stem(user), user, ...fields))
  }

  /** The arguments every script of a log begins with. */
  #head(user: string): string[] {
    return [user, this.#clock(), newEpoch()]
  }

  /** The clock as scripts take it: see ARGV[2] in prelude.lua. */
  #clock(): string {
    if (this.#settings.clock !== undefined) return String(this.#settings.clock())
    const agedTo = this.#link.clock?.agedTo()
    return agedTo === undefined ? '' : `<${agedTo}`
  }

  async #guard<Result>(call: () => Promise<Result>): Promise<Result> {
    try {
      return await call()
    } catch (cause) {
      if (cause instanceof Error && cause.message.startsWith('OOM')) throw new errors.StoreFull({ cause })
      throw new errors.StoreUnavailable({ cause })
    }
  }
}

function readArgs(deviceId: string, start: Start, { seen, limit, bytes }: Pick<ReadCommand, 'seen' | 'limit' | 'bytes'>): string[] {
  const position = start.at === 'position' ? start.position : { epoch: '', offset: 0, id8: '' }
  return [
    deviceId,
    start.at,
    position.epoch,
    String(position.offset),
    position.id8,
    seen?.epoch ?? '',
    String(seen?.offset ?? 0),
    String(limit),
    bytes === undefined ? '' : String(bytes)
  ]
}
