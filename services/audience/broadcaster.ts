import { setTimeout } from 'node:timers/promises'
import { errors, isOfStore } from '../errors.ts'
import {
  type Audience,
  type Audiences,
  BATCH_LEASE_MS,
  type Batch,
  type Broadcast,
  type BroadcastCommand,
  type BroadcastStatus,
  type LeaseBatchResult,
  type StartResult
} from '../store/audiences.ts'
import type { Durability, Store } from '../store/store.ts'
import type { BatchRunner } from './batch-runner.ts'

/** Batches that this node carries out at one time. A broadcast has one at a time, so that many broadcasts share them. */
const SLOTS = 16

/** Period at which the store is asked for broadcasts that no node carries out, because their node died or the store failed. */
const SWEEP_INTERVAL_MS = 1000

/** Age of a lease from which its batch is not begun, so that it ends within the lease, milliseconds. */
const LAST_START_MS = BATCH_LEASE_MS / 3

/** Age of a lease from which no member's publish is started: the store answers or fails well before the lease runs out, milliseconds. */
const LAST_PUBLISH_MS = BATCH_LEASE_MS * 0.8

/** Delays before a batch is settled again if the store failed, milliseconds. After the last one the lease runs out. */
const SETTLE_DELAYS_MS = [200, 1000, 3000]

/** Pause before the audience of a broadcast is collected on, milliseconds. */
const COLLECT_PAUSE_MS = 2

/** Turns that may wait for a slot before further broadcasts are left to the sweep. */
const QUEUE_MAX = 1000

/** The ids that the store gives. Any other text is the id of no broadcast. */
const BROADCAST_ID = /^[0-9a-f]{2}[\w-]{20}$/

/** A broadcast in the form that REST shows. Times are Unix milliseconds; `finishedAt` is null while it runs. */
interface BroadcastAnswer {
  id: string
  to: { topic: string; except?: string[] } | { everyone: true; except?: string[] }
  status: BroadcastStatus
  /** Number of users in the audience; null while it is being collected. */
  members: number | null
  accepted: number
  parked: number
  rejected: number
  startedAt: number
  finishedAt: number | null
}

interface BroadcasterOptions {
  store: Pick<Store, 'status'> & { audiences: Audiences }
  runner: BatchRunner
  /** Called on an error that is none of the store's. The batch is carried out again when its lease has run out. */
  onFault: (error: unknown) => void
}

/** The next step of a broadcast: a batch that was leased at `leasedAt`, on the monotonic clock; without one, a batch has to be leased first. */
interface Turn {
  broadcastId: string
  batch?: Batch
  leasedAt: number
}

/**
 * Carries out broadcasts, batch by batch: leases a batch, publishes to its members, and settles it. After each batch the broadcast goes to the
 * end of the queue, so that a large one does not hold up the others.
 *
 * A node keeps nothing that matters. If it dies or the store fails, the lease of the batch runs out, and the sweep of any node goes on with the
 * same members.
 */
export class Broadcaster {
  readonly #options: BroadcasterOptions
  readonly #queue: Turn[] = []
  readonly #active = new Set<Promise<void>>()
  /** The broadcasts whose next batch is being leased, or waits to be. */
  readonly #leasing = new Set<string>()
  readonly #sweeper: NodeJS.Timeout
  #sweeping: Promise<void> | undefined
  readonly #closing = new AbortController()

  constructor(options: BroadcasterOptions) {
    this.#options = options
    this.#sweeper = setInterval(() => this.#startSweep(), SWEEP_INTERVAL_MS)
    this.#sweeper.unref()
    this.#startSweep()
  }

  /** Number of the broadcasts that this node carries out. */
  get running(): number {
    return this.#queue.length + this.#active.size
  }

  /** Starts a broadcast. When the promise resolves it is in the store, and this or another node carries it out. */
  async start(command: BroadcastCommand): Promise<StartResult> {
    const leasedAt = performance.now()
    const result = await this.#options.store.audiences.start(command)
    if (result.status !== 'started') return result
    const { broadcast, batch } = result
    if (batch === undefined) this.#goOn(broadcast.id)
    else this.#enqueue({ broadcastId: broadcast.id, batch, leasedAt })
    return result
  }

  /** @throws NotFound */
  async get(id: string): Promise<BroadcastAnswer> {
    return answerOf(BROADCAST_ID.test(id) ? await this.#options.store.audiences.broadcast(id) : undefined)
  }

  /**
   * Stops a broadcast. What went out is recalled afterwards, also if the broadcast was done.
   *
   * @returns the durability of the cancellation
   * @throws NotFound
   */
  async cancel(id: string): Promise<Durability> {
    const { store } = this.#options
    answerOf(BROADCAST_ID.test(id) ? await store.audiences.cancel(id) : undefined)
    this.#goOn(id)
    return store.status().durability
  }

  /** Starts no further publish, waits for those under way, and releases the leases, so that other nodes go on at once. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#sweeper)
    this.#options.runner.close()
    await Promise.all([this.#sweeping, ...this.#active])
    const { audiences } = this.#options.store
    const leased = this.#queue.splice(0).flatMap(({ batch }) => batch ?? [])
    // A lease that cannot be released runs out.
    await Promise.allSettled(leased.map(({ broadcastId, from, isRecall }) => audiences.release({ broadcastId, from, isRecall })))
  }

  /** Carries out the next batch of a broadcast, unless another node has it. */
  #goOn(broadcastId: string): void {
    if (this.#queue.length >= QUEUE_MAX || this.#leasing.has(broadcastId)) return
    this.#leasing.add(broadcastId)
    this.#enqueue({ broadcastId, leasedAt: 0 })
  }

  #enqueue(turn: Turn): void {
    this.#queue.push(turn)
    this.#fill()
  }

  #fill(): void {
    while (!this.#closing.signal.aborted && this.#active.size < SLOTS) {
      const turn = this.#queue.shift()
      if (turn === undefined) return
      const taken = this.#take(turn)
        .catch((error: unknown) => {
          if (!isOfStore(error)) this.#options.onFault(error)
          return undefined
        })
        .then((next) => {
          this.#active.delete(taken)
          if (next !== undefined) this.#queue.push(next)
          this.#fill()
        })
      this.#active.add(taken)
    }
  }

  /** Takes the next step of a broadcast. Resolves with the step that follows; undefined if none does, or another node takes it. */
  async #take(turn: Turn): Promise<Turn | undefined> {
    const { broadcastId, batch, leasedAt } = turn
    const { audiences } = this.#options.store
    if (batch === undefined) {
      const from = performance.now()
      const result = await audiences.lease(broadcastId).finally(() => this.#leasing.delete(broadcastId))
      return await this.#turnAfter(broadcastId, result, from)
    }
    if (performance.now() - leasedAt > LAST_START_MS) return undefined
    const counts = await this.#options.runner.run(batch, leasedAt + LAST_PUBLISH_MS)
    if (counts !== undefined) return await this.#settle(batch, counts)
    return this.#closing.signal.aborted ? turn : undefined
  }

  async #turnAfter(broadcastId: string, result: LeaseBatchResult, leasedAt: number): Promise<Turn | undefined> {
    switch (result.status) {
      case 'batch':
        return { broadcastId: result.batch.broadcastId, batch: result.batch, leasedAt }
      case 'collecting':
        await this.#pause(COLLECT_PAUSE_MS)
        return { broadcastId, leasedAt: 0 }
      default:
        return undefined
    }
  }

  /** Settles a batch, which may be repeated: the store settles it once. @throws errors of the store, after the last attempt */
  async #settle(batch: Batch, counts: { accepted: number; parked: number; rejected: number }): Promise<Turn | undefined> {
    const { broadcastId, from, isRecall, size } = batch
    const command = { broadcastId, from, isRecall, size, ...counts }
    for (const delayMs of [...SETTLE_DELAYS_MS, 0]) {
      const leasedAt = performance.now()
      try {
        return await this.#turnAfter(broadcastId, await this.#options.store.audiences.settle(command), leasedAt)
      } catch (error) {
        if (!isOfStore(error) || delayMs === 0 || this.#closing.signal.aborted) throw error
        await this.#pause(delayMs)
      }
    }
    return undefined
  }

  async #pause(ms: number): Promise<void> {
    await setTimeout(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }

  #startSweep(): void {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined
    })
  }

  /** Takes broadcasts that no node has, while there are slots. */
  async #sweep(): Promise<void> {
    if (this.#active.size >= SLOTS) return
    try {
      for (const broadcastId of await this.#options.store.audiences.waiting()) this.#goOn(broadcastId)
    } catch (error) {
      if (!isOfStore(error)) this.#options.onFault(error)
    }
  }
}

/** @throws NotFound */
function answerOf(broadcast: Broadcast | undefined): BroadcastAnswer {
  if (broadcast === undefined) throw new errors.NotFound('There is no such broadcast, or it ended more than a day ago')
  const { to, members = null, finishedAt, ...rest } = broadcast
  return { ...rest, to: requestedAudience(to), members, finishedAt: finishedAt === 0 ? null : finishedAt }
}

function requestedAudience({ except, ...to }: Audience): BroadcastAnswer['to'] {
  return except.length === 0 ? to : { ...to, except }
}
