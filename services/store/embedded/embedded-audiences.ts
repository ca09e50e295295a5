import { KEY_LENGTH } from '../../ids.ts'
import {
  type Audiences,
  BATCH_LEASE_MS,
  BATCH_MAX,
  type BatchName,
  BROADCASTS_MAX,
  type Broadcast,
  type BroadcastCommand,
  type LeaseBatchResult,
  type MembersCommand,
  type MembersPage,
  type MembersResult,
  type SettleBatchCommand,
  type StartResult
} from '../audiences.ts'
import {
  batchOf,
  broadcastIdOf,
  broadcastOf,
  cancelBroadcast,
  completeAudience,
  FULL_RETRY_MS,
  isExpired,
  isForgotten,
  isNextBatch,
  newBroadcast,
  nextSpan,
  noteLease,
  queueOf,
  settleBatch
} from '../broadcast-step.ts'
import {
  decodeBroadcast,
  decodeNames,
  encode,
  FIRST_NUMBER,
  idIn,
  lastNameOf,
  numberIn,
  ranges,
  type StoredBroadcast
} from './audience-codec.ts'
import { userOf, userRange, usersRange } from './codec.ts'
import type { CheckedEntry, Operation } from './database.ts'
import { type AudienceSession, EmbeddedMembers } from './embedded-members.ts'
import { eraseName } from './erase-name.ts'
import { KeyedLock } from './keyed-lock.ts'

/** Members that the start of a broadcast reads at once: a multiple of `BATCH_MAX`. */
const READ_MAX = 4 * BATCH_MAX
/** Users that one lease collects for a broadcast to everyone: a multiple of `BATCH_MAX`. */
const COLLECT_MAX = 2 * BATCH_MAX
/** Publishes that share a sync: fewer are slow on a slow disk. Their steps take several milliseconds, for which other publishes wait. */
const PUBLISHES_AT_ONCE = 128
/** Broadcasts that one slice of the upkeep looks at. */
const UPKEEP_SLICE = 100

interface Steps {
  /** Carries out a call on the open database. `grows`: it needs room on the disk. */
  carryOut<Result>(run: (session: AudienceSession) => Promise<Result>, grows: boolean): Promise<Result>
  now(): number
}

/**
 * The topics and broadcasts of the embedded store.
 *
 * A start writes the names of the audience in chunks, each of which is one batch, and then the broadcast, in one write with its place in the queue.
 * Without that write the chunks mean nothing, and the upkeep removes them. Steps of one queue, and changes of its topic, take turns.
 *
 * The leases are in memory: after a restart nobody carries out the batches that were leased before.
 */
export class EmbeddedAudiences implements Audiences {
  readonly publishesAtOnce = PUBLISHES_AT_ONCE
  readonly #steps: Steps
  readonly #locks = new KeyedLock()
  readonly #members = new EmbeddedMembers(this.#locks)
  /** End of the lease by id of the broadcast, Unix milliseconds. */
  readonly #leases = new Map<string, number>()
  /** Ids of the broadcasts whose audiences are being written. */
  readonly #starting = new Set<string>()

  constructor(steps: Steps) {
    this.#steps = steps
  }

  async changeMembers(command: MembersCommand): Promise<MembersResult> {
    return await this.#steps.carryOut((session) => this.#members.change(session, command), command.add.length > 0)
  }

  async members(topic: string, after: string | undefined, limit: number): Promise<MembersPage> {
    return await this.#steps.carryOut((session) => this.#members.page(session, topic, after, limit), false)
  }

  async deleteTopic(topic: string): Promise<void> {
    await this.#steps.carryOut((session) => this.#members.deleteTopic(session, topic), false)
  }

  async topicsOf(user: string): Promise<string[]> {
    return await this.#steps.carryOut((session) => this.#members.topicsOf(session, user), false)
  }

  /** Ends all memberships of a user. */
  async leaveAll(user: string): Promise<void> {
    await this.#steps.carryOut((session) => this.#members.leaveAll(session, user), false)
  }

  /** Removes the name of an erased user from the broadcasts that are kept. */
  async eraseName(user: string): Promise<void> {
    await this.upkeep()
    for await (const id of this.#broadcastIds()) {
      await this.#inTurn(id, (session, state) => eraseName(session, state, user))
    }
  }

  async start(command: BroadcastCommand): Promise<StartResult> {
    const queue = queueOf(command.to)
    return await this.#steps.carryOut((session) => this.#locks.take(queue, () => this.#start(session, queue, command)), true)
  }

  async broadcast(id: string): Promise<Broadcast | undefined> {
    const state = await this.#steps.carryOut((session) => this.#known(session, id), false)
    return state && broadcastOf(state)
  }

  async cancel(id: string): Promise<Broadcast | undefined> {
    const state = await this.#inTurn(id, async (session, state) => {
      if (!cancelBroadcast(state, this.#steps.now())) return state
      const queue = queueOf(state.to)
      const entries = await session.range(ranges.queue(queue))
      const own = entries.filter(([, value]) => value?.toString() === id).map(([key]) => encode.remove(key))
      const first = entries[0] === undefined ? FIRST_NUMBER : numberIn(entries[0][0])
      const waits = state.endedAt === 0 ? [encode.wait(queue, first - 1, id)] : []
      await session.write([encode.broadcast(state), ...own, ...waits])
      this.#leases.delete(id)
      return state
    })
    return state && broadcastOf(state)
  }

  async lease(broadcastId: string): Promise<LeaseBatchResult> {
    const result = await this.#inTurn(broadcastId, (session, { to }) => this.#leaseHead(session, queueOf(to)))
    return result ?? { status: 'idle' }
  }

  async settle(command: SettleBatchCommand): Promise<LeaseBatchResult> {
    const result = await this.#inTurn(command.broadcastId, async (session, state) => {
      const queue = queueOf(state.to)
      if (settleBatch(state, command, this.#steps.now())) {
        const entries = await session.range(ranges.queue(queue), BROADCASTS_MAX)
        const isHead = entries[0]?.[1]?.toString() === state.id
        if (isHead && state.endedAt === 0) return await this.#leaseBatch(session, state)
        const own = entries.filter(([, value]) => state.endedAt > 0 && value?.toString() === state.id)
        await session.write([encode.broadcast(state), ...own.map(([key]) => encode.remove(key))])
        this.#leases.delete(state.id)
      }
      return await this.#leaseHead(session, queue)
    })
    return result ?? { status: 'idle' }
  }

  async release(batch: BatchName): Promise<void> {
    await this.#inTurn(batch.broadcastId, async (_session, state) => {
      if (isNextBatch(state, batch)) this.#leases.delete(state.id)
    })
  }

  async waiting(): Promise<string[]> {
    return await this.#steps.carryOut(async (session) => {
      const ids: string[] = []
      let [entry] = await session.range(ranges.queues, 1)
      while (entry !== undefined) {
        const id = entry[1]?.toString()
        if (id !== undefined && !this.#isLeased(id)) ids.push(id)
        entry = (await session.range(ranges.queuesBehind(entry[0]), 1))[0]
      }
      return ids
    }, false)
  }

  /** Removes the broadcasts that are no longer kept, and chunks without a broadcast. */
  async upkeep(): Promise<void> {
    for await (const id of this.#broadcastIds()) await this.#removeIfForgotten(id)
    let [from, to] = ranges.chunks
    for (;;) {
      const [first] = await this.#steps.carryOut((session) => session.range([from, to], 1), false)
      if (first === undefined) return
      await this.#removeIfOrphaned(idIn(first[0]))
      from = ranges.audience(idIn(first[0]))[1]
    }
  }

  /** Lists the broadcasts in the data folder. */
  async *#broadcastIds(): AsyncGenerator<string> {
    let [from, to] = ranges.broadcasts
    for (;;) {
      const entries = await this.#steps.carryOut((session) => session.range([from, to], UPKEEP_SLICE), false)
      for (const [key] of entries) yield idIn(key)
      const last = entries.at(-1)
      if (last === undefined) return
      from = Buffer.concat([last[0], Buffer.alloc(1)])
    }
  }

  /** Carries out a step of a broadcast in the turn of its queue. Resolves with undefined if it is unknown, or no longer kept. */
  async #inTurn<Result>(
    id: string,
    step: (session: AudienceSession, state: StoredBroadcast) => Promise<Result>
  ): Promise<Result | undefined> {
    return await this.#steps.carryOut(async (session) => {
      const found = await this.#known(session, id)
      if (found === undefined) return undefined
      return await this.#locks.take(queueOf(found.to), async () => {
        const state = await this.#known(session, id)
        return state && (await step(session, state))
      })
    }, false)
  }

  async #known(session: AudienceSession, id: string): Promise<StoredBroadcast | undefined> {
    const state = decodeBroadcast(await session.range(ranges.broadcast(id), 1))
    return state === undefined || isForgotten(state, this.#steps.now()) ? undefined : state
  }

  async #start(session: AudienceSession, queue: string, command: BroadcastCommand): Promise<StartResult> {
    const { to, id, keyed } = command
    const broadcastId = broadcastIdOf(command)
    const key = id.slice(0, KEY_LENGTH)
    const [started] = keyed ? await session.range(ranges.start(queue, key), 1) : []
    const known = await this.#known(session, started?.[1]?.toString() ?? broadcastId)
    if (known !== undefined) {
      return known.publish.id === id ? { status: 'replayed', broadcast: broadcastOf(known) } : { status: 'conflict' }
    }
    if (isExpired(command, this.#steps.now())) return { status: 'expired' }
    const entries = await session.range(ranges.queue(queue), BROADCASTS_MAX)
    if (entries.length >= BROADCASTS_MAX) return { status: 'full', retryAfterMs: FULL_RETRY_MS }
    await this.#removeAudience(session, broadcastId)
    const state: StoredBroadcast = newBroadcast(command, this.#steps.now())
    this.#starting.add(broadcastId)
    try {
      const rest: Operation[] = keyed ? [encode.start(queue, key, broadcastId)] : []
      if ('topic' in to) completeAudience(state, await this.#copyAudience(session, state, to.topic, rest), this.#steps.now())
      else state.searchFrom = usersRange[0].toString('hex')
      const last = entries.at(-1)
      if (state.endedAt === 0) rest.push(encode.wait(queue, last === undefined ? FIRST_NUMBER : numberIn(last[0]) + 1, broadcastId))
      const isLeased = entries.length === 0 && state.endedAt === 0 && !state.isCollecting
      const leased = isLeased ? await this.#leaseBatch(session, state, rest) : undefined
      if (!isLeased) await session.write([encode.broadcast(state), ...rest])
      const batch = leased?.status === 'batch' ? leased.batch : undefined
      return { status: 'started', broadcast: broadcastOf(state), batch }
    } finally {
      this.#starting.delete(broadcastId)
    }
  }

  /** Writes the members of a topic as the audience, the last chunks as operations that the caller writes. Returns their number. */
  async #copyAudience(session: AudienceSession, { id, to }: StoredBroadcast, topic: string, rest: Operation[]): Promise<number> {
    const except = new Set(to.except)
    let names: string[] = []
    let size = 0
    let after: string | undefined
    for (;;) {
      const entries = await session.range(ranges.members(topic, after), READ_MAX)
      for (const [key, value] of entries) if (value !== undefined && !except.has(lastNameOf(key))) names.push(lastNameOf(key))
      if (entries.length < READ_MAX) {
        rest.push(...encodeChunks(id, size, names))
        return size + names.length
      }
      const whole = names.slice(0, names.length - (names.length % BATCH_MAX))
      await session.write(encodeChunks(id, size, whole))
      size += whole.length
      names = names.slice(whole.length)
      after = lastNameOf((entries.at(-1) as CheckedEntry)[0])
    }
  }

  /** Leases the next batch of the first broadcast in a queue that has not ended. */
  async #leaseHead(session: AudienceSession, queue: string): Promise<LeaseBatchResult> {
    for (;;) {
      const [entry] = await session.range(ranges.queue(queue), 1)
      if (entry === undefined) return { status: 'idle' }
      const state = await this.#known(session, entry[1]?.toString() ?? '')
      if (state === undefined || state.endedAt > 0) {
        await session.write([encode.remove(entry[0])])
        continue
      }
      if (this.#isLeased(state.id)) return { status: 'leased' }
      if (!state.isCollecting) return await this.#leaseBatch(session, state)
      await this.#collect(session, state)
      return { status: 'collecting' }
    }
  }

  /** Leases the next batch of a broadcast, which has one, in one write with further operations. A batch whose names cannot be read is skipped. */
  async #leaseBatch(session: AudienceSession, state: StoredBroadcast, more: Operation[] = []): Promise<LeaseBatchResult> {
    noteLease(state)
    const { from, to } = nextSpan(state)
    const size = to - from
    const range = ranges.audience(state.id, from / BATCH_MAX)
    const unwritten = more.find(({ key }) => key.equals(range[0]))
    const chunk = unwritten?.type === 'put' ? unwritten.value : (await session.range(range, 1))[0]?.[1]
    const names = decodeNames(chunk).slice(0, size)
    if (names.length < size) {
      const counts = { size, accepted: 0, parked: 0, rejected: size }
      settleBatch(state, { broadcastId: state.id, from, isRecall: state.isRecalling, ...counts }, this.#steps.now())
    }
    await session.write([encode.broadcast(state), ...more])
    if (names.length < size) return await this.#leaseHead(session, queueOf(state.to))
    this.#leases.set(state.id, this.#steps.now() + BATCH_LEASE_MS)
    return { status: 'batch', batch: batchOf(state, names) }
  }

  /** Adds the next users who have a log to the audience of a broadcast to everyone. */
  async #collect(session: AudienceSession, state: StoredBroadcast): Promise<void> {
    const except = new Set(state.to.except)
    const names: string[] = []
    let from: Buffer = Buffer.from(state.searchFrom ?? '', 'hex')
    while (names.length < COLLECT_MAX) {
      const [first] = await session.range([from, usersRange[1]], 1)
      if (first === undefined) break
      const [key, meta] = first
      const prefix = key.subarray(0, 3 + key.readUInt16BE(1))
      from = userRange(prefix)[1]
      if (hasLog(meta) && !except.has(userOf(key))) names.push(userOf(key))
    }
    const before = state.size
    state.size += names.length
    const isComplete = names.length < COLLECT_MAX
    state.searchFrom = isComplete ? '' : from.toString('hex')
    if (isComplete) completeAudience(state, state.size, this.#steps.now())
    await session.write([...encodeChunks(state.id, before, names), encode.broadcast(state)])
  }

  #isLeased(id: string): boolean {
    return (this.#leases.get(id) ?? 0) > this.#steps.now()
  }

  async #removeIfForgotten(id: string): Promise<void> {
    await this.#steps.carryOut(async (session) => {
      const state = decodeBroadcast(await session.range(ranges.broadcast(id), 1))
      if (state === undefined || !isForgotten(state, this.#steps.now())) return
      const queue = queueOf(state.to)
      await this.#locks.take(queue, async () => {
        const current = decodeBroadcast(await session.range(ranges.broadcast(id), 1))
        if (current === undefined || !isForgotten(current, this.#steps.now())) return
        const starts = await session.range(ranges.start(queue, current.publish.id.slice(0, KEY_LENGTH)), 1)
        const own = starts.filter(([, value]) => value?.toString() === id)
        await session.write([encode.remove(ranges.broadcast(id)[0]), ...own.map(([key]) => encode.remove(key))])
        await this.#removeAudience(session, id)
        this.#leases.delete(id)
      })
    }, false)
  }

  async #removeIfOrphaned(id: string): Promise<void> {
    await this.#steps.carryOut(async (session) => {
      const [broadcast] = await session.range(ranges.broadcast(id), 1)
      if (broadcast === undefined && !this.#starting.has(id)) await this.#removeAudience(session, id)
    }, false)
  }

  async #removeAudience(session: AudienceSession, id: string): Promise<void> {
    for (;;) {
      const chunks = await session.range(ranges.audience(id), UPKEEP_SLICE)
      if (chunks.length === 0) return
      await session.write(chunks.map(([key]) => encode.remove(key)))
    }
  }
}

/** Encodes names as chunks of an audience that has `size` names, a multiple of `BATCH_MAX`, so far. */
function encodeChunks(id: string, size: number, names: string[]): Operation[] {
  const chunks: Operation[] = []
  for (let at = 0; at < names.length; at += BATCH_MAX) {
    chunks.push(encode.chunk(id, (size + at) / BATCH_MAX, names.slice(at, at + BATCH_MAX)))
  }
  return chunks
}

/** Returns whether the first entry of a user tells of a log: its meta begins with the epoch. Entries that cannot be read are of a log. */
function hasLog(meta: Buffer | undefined): boolean {
  return meta === undefined || meta[0] !== 0x20
}
