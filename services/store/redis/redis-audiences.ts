import { KEY_LENGTH } from '../../ids.ts'
import type {
  Audience,
  Audiences,
  Batch,
  BatchName,
  Broadcast,
  BroadcastCommand,
  BroadcastStatus,
  LeaseBatchResult,
  MembersCommand,
  MembersPage,
  MembersResult,
  SettleBatchCommand,
  StartResult
} from '../audiences.ts'
import { broadcastIdOf, FULL_RETRY_MS, homeOf, membersIn, queueOf } from '../broadcast-step.ts'
import type { PublishOptions } from '../commands.ts'
import { ALL_BUCKETS, type Keys } from './keys.ts'
import { RedisMembers, type RunTopic } from './redis-members.ts'
import { list, number, type Reply, text } from './reply.ts'
import type { TopicArgs, TopicScript } from './script-table.ts'
import { CALLS_AT_ONCE } from './scripts.ts'
import { slices } from './slices.ts'
import type { UserScan } from './user-scan.ts'

/** Queues of one bucket that one look at those that wait finds at most. */
const QUEUES_PER_BUCKET = 100

/**
 * Time from which a broadcast waits after which every node lists it, not only the node whose share it is in, milliseconds. That node may have died,
 * and finding it dead would take longer.
 */
const OVERDUE_MS = 2000

/** Publishes of broadcasts that Redis carries out between two others. */
const PUBLISHES_AT_ONCE = 16

interface Steps {
  run: RunTopic
  /** Returns this node's share of the buckets. */
  share(): Promise<number[]>
  /** Finds the members of an index, whose keys are given by bucket, whose time is overdue for so long. */
  due(keys: readonly string[], buckets: ReadonlySet<number>, overdueMs: number, max: number): Promise<string[]>
  /** Starts a search for all users. */
  scanUsers(): UserScan
  /** Makes a call whose errors are those of the store. */
  call<Result>(make: () => Promise<Result>): Promise<Result>
}

/** A search for the audience of a broadcast to everyone, on this node. */
interface Collection {
  scan: UserScan
  /** The step under way. */
  step: Promise<void> | undefined
}

/** The topics and broadcasts of the Redis store. Each step of a broadcast is one script, at the home of its topic. */
export class RedisAudiences implements Audiences {
  readonly publishesAtOnce = PUBLISHES_AT_ONCE
  readonly #keys: Keys
  readonly #steps: Steps
  readonly #members: RedisMembers
  /** Name under which collections are leased to this node. A node that starts again has another one, because its collections are lost. */
  readonly #collector: string
  readonly #collectionById = new Map<string, Collection>()

  constructor(keys: Keys, collector: string, steps: Steps) {
    this.#keys = keys
    this.#collector = collector
    this.#steps = steps
    this.#members = new RedisMembers(steps.run)
  }

  changeMembers(command: MembersCommand): Promise<MembersResult> {
    return this.#members.change(command)
  }

  members(topic: string, after: string | undefined, limit: number): Promise<MembersPage> {
    return this.#members.page(topic, after, limit)
  }

  deleteTopic(topic: string): Promise<void> {
    return this.#members.deleteTopic(topic)
  }

  topicsOf(user: string): Promise<string[]> {
    return this.#members.topicsOf(user)
  }

  /** Ends all memberships of a user. */
  leaveAll(user: string): Promise<void> {
    return this.#members.leaveAll(user)
  }

  /** Removes the name of an erased user from the broadcasts that are kept. */
  async eraseName(user: string): Promise<void> {
    for (const buckets of slices(ALL_BUCKETS, CALLS_AT_ONCE)) {
      await Promise.all(buckets.map((bucket) => this.#eraseNameIn(bucket, user)))
    }
  }

  async start(command: BroadcastCommand): Promise<StartResult> {
    const { to, id, keyed, tail, halfLife, options } = command
    const args = {
      broadcast: broadcastIdOf(command),
      startKey: keyed ? id.slice(0, KEY_LENGTH) : '',
      to: JSON.stringify(to),
      id,
      tail,
      halfLife,
      options: options === undefined ? '' : JSON.stringify(options),
      expiresAt: options?.expiresAt ?? 0,
      except: to.except
    }
    const [status, told, batch] = list(await this.#steps.run(homeOf(to), 'broadcast-start', queueOf(to), args))
    switch (text(status)) {
      case 'started':
        return { status: 'started', broadcast: broadcastOf(told), batch: batch === undefined ? undefined : batchOf(list(batch)) }
      case 'replayed':
        return { status: 'replayed', broadcast: broadcastOf(told) }
      case 'expired':
        return { status: 'expired' }
      case 'full':
        return { status: 'full', retryAfterMs: FULL_RETRY_MS }
      default:
        return { status: 'conflict' }
    }
  }

  async broadcast(id: string): Promise<Broadcast | undefined> {
    const told = list(await this.#steps.run(bucketIn(id), 'broadcast-find', '', { broadcast: id }))
    return told.length === 0 ? undefined : broadcastOf(told)
  }

  async cancel(id: string): Promise<Broadcast | undefined> {
    const told = await this.#ofKnown(id, 'broadcast-cancel', { broadcast: id })
    this.#collectionById.delete(id)
    return told === undefined || list(told).length === 0 ? undefined : broadcastOf(told)
  }

  async lease(broadcastId: string): Promise<LeaseBatchResult> {
    const reply = await this.#ofKnown(broadcastId, 'broadcast-lease', { collector: this.#collector })
    if (reply === undefined) return { status: 'idle' }
    const [status, id, to, erasures] = list(reply)
    if (text(status) === 'collecting') await this.#collect(text(id), JSON.parse(text(to)) as Audience, text(erasures))
    return leaseResult(reply)
  }

  async settle(command: SettleBatchCommand): Promise<LeaseBatchResult> {
    const { broadcastId, from, isRecall, size, accepted, parked, rejected } = command
    const counts = { size, accepted, parked, rejected }
    const args = { collector: this.#collector, broadcast: broadcastId, from, isRecall: isRecall ? '1' : '0', ...counts }
    const reply = await this.#ofKnown(broadcastId, 'broadcast-settle', args)
    return reply === undefined ? { status: 'idle' } : leaseResult(reply)
  }

  async release({ broadcastId, from, isRecall }: BatchName): Promise<void> {
    const args = { collector: '', broadcast: broadcastId, from, isRecall: isRecall ? '1' : '0' }
    await this.#ofKnown(broadcastId, 'broadcast-release', args)
  }

  /** Ends the leases of this node's collections, so that other nodes begin them again at once. A lease that cannot be ended runs out. */
  async close(): Promise<void> {
    const released = [...this.#collectionById].map(async ([id, { step }]) => {
      await step?.catch(() => undefined)
      await this.#ofKnown(id, 'broadcast-release', { collector: this.#collector, broadcast: id, from: '', isRecall: '' })
    })
    await Promise.allSettled(released)
  }

  async waiting(): Promise<string[]> {
    const { waiting } = this.#keys
    const mine = new Set(await this.#steps.share())
    const others = new Set(ALL_BUCKETS.filter((bucket) => !mine.has(bucket)))
    const own = await this.#steps.due(waiting, mine, 0, QUEUES_PER_BUCKET)
    return [...own, ...(await this.#steps.due(waiting, others, OVERDUE_MS, QUEUES_PER_BUCKET))]
  }

  async #eraseNameIn(bucket: number, user: string): Promise<void> {
    let after = ''
    do after = text(await this.#steps.run(bucket, 'broadcast-erase', '', { user, after }))
    while (after !== '')
  }

  /** Runs a script of a broadcast's topic. Resolves with undefined if the broadcast is unknown, or no longer kept. */
  async #ofKnown<Name extends TopicScript>(id: string, name: Name, args: TopicArgs<Name>): Promise<Reply | undefined> {
    const known = await this.broadcast(id)
    return known && (await this.#steps.run(bucketIn(id), name, queueOf(known.to), args))
  }

  /** Adds the next users to an audience. If another node collected before, the search begins again: the audience has each name once. */
  async #collect(id: string, to: Audience, erasures: string): Promise<void> {
    let collection = this.#collectionById.get(id)
    if (collection === undefined) {
      collection = { scan: this.#steps.scanUsers(), step: undefined }
      this.#collectionById.set(id, collection)
    }
    const { scan } = collection
    collection.step ??= this.#collectNext(id, scan, new Set(to.except), erasures).finally(() => {
      collection.step = undefined
    })
    await collection.step
  }

  /**
   * Drops the collection if a step fails, because what the step found is lost.
   *
   * @param erasures number of erasures before the step. If there were more in the meantime, the step finds its users again, because some may be erased.
   */
  async #collectNext(id: string, scan: UserScan, except: ReadonlySet<string>, erasures: string): Promise<void> {
    let goesOn = false
    try {
      const names = (await this.#steps.call(() => scan.next())).filter((name) => !except.has(name))
      const args = { collector: this.#collector, broadcast: id, erasures, isComplete: scan.isDone ? '1' : '0', names }
      const result = await this.#steps.run(bucketIn(id), 'broadcast-collect', '', args)
      if (result === 2) scan.repeat()
      goesOn = result !== 0 && !scan.isDone
    } finally {
      if (!goesOn) this.#collectionById.delete(id)
    }
  }
}

/** Returns the bucket that an id names; 0 if it is malformed: then no broadcast has it. */
function bucketIn(id: string): number {
  const bucket = Number.parseInt(id.slice(0, 2), 16)
  return Number.isInteger(bucket) ? bucket : 0
}

function broadcastOf(told: Reply | undefined): Broadcast {
  const [id = '', to = '', status = '', members = '', ...numbers] = list(told).map(text)
  const [accepted = 0, parked = 0, rejected = 0, startedAt = 0, finishedAt = 0] = numbers.map(Number)
  return {
    id,
    to: JSON.parse(to) as Audience,
    status: status as BroadcastStatus,
    ...(members !== '' && { members: Number(members) }),
    accepted,
    parked,
    rejected,
    startedAt,
    finishedAt
  }
}

function leaseResult(reply: Reply): LeaseBatchResult {
  const parts = list(reply)
  const status = text(parts[0]) as LeaseBatchResult['status']
  return status === 'batch' ? { status, batch: batchOf(parts) } : { status }
}

function batchOf([, broadcast, from, isRecall, id, tail, halfLife, options, startedAt, names]: Reply[]): Batch {
  const kept = text(options)
  return {
    broadcastId: text(broadcast),
    from: number(from),
    isRecall: text(isRecall) === '1',
    ...membersIn(list(names).map(text)),
    publish: {
      id: text(id),
      tail: text(tail),
      halfLife: Number(text(halfLife)),
      options: kept === '' ? undefined : (JSON.parse(kept) as PublishOptions),
      broadcastAt: Number(text(startedAt))
    }
  }
}
