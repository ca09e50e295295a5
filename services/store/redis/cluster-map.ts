import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { addressOf, createOnceClient, type RedisStoreOptions } from './clients.ts'
import { agree, readSlots, type SlotMap, type SlotView } from './slot-map.ts'

/** Time between two refreshes while nothing is wrong, milliseconds. */
const REFRESH_MS = 5000
/** Least time between two refreshes, milliseconds, so that a node sends a server at most a few `CLUSTER SLOTS` a second. */
const LEAST_MS = 400
/** Servers asked in one refresh. */
const ASKED_AT_ONCE = 3
/** Time limits of an answer, milliseconds: from a server in use, and from a server to which a connection must be made first. */
const ANSWER_MS = 700
const CONNECT_AND_ANSWER_MS = 2000

/**
 * Keeps the owner of each slot of a Cluster up to date. Asks some masters in use every five seconds, and soon after a hint at a change.
 * While no master is in use, asks every known server in turn.
 */
export class ClusterMap {
  #owners: SlotMap = []
  readonly #options: RedisStoreOptions
  readonly #inUse: () => Redis[]
  readonly #onChange: () => void
  readonly #onFailure: (error: unknown) => void
  /** Addresses of the Cluster's servers: the configured ones, and those in the views of other servers. */
  readonly #known: Set<string>
  #refreshCount = 0
  #timer: NodeJS.Timeout | undefined
  #refreshing = false
  #refreshedAt = Number.NEGATIVE_INFINITY
  #refreshAgain = false
  #closed = false

  /**
   * @param inUse returns the connections that can be asked
   * @param onChange called after `owners` was read or corrected
   * @param onFailure called if no server could be asked, with the error of one of them
   */
  constructor(options: RedisStoreOptions, inUse: () => Redis[], onChange: () => void, onFailure: (error: unknown) => void) {
    this.#options = options
    this.#inUse = inUse
    this.#onChange = onChange
    this.#onFailure = onFailure
    this.#known = new Set(options.clusterNodes?.map(addressOf).map(({ host, port }) => `${host}:${port}`))
  }

  get owners(): SlotMap {
    return this.#owners
  }

  /** Reads the map again: at once, or `LEAST_MS` after the latest refresh. */
  refresh(): void {
    if (this.#closed) return
    this.#refreshAgain = true
    if (this.#refreshing) return
    this.#schedule(Math.max(0, this.#refreshedAt + LEAST_MS - performance.now()))
  }

  /** Sets the owner of a slot from a `MOVED`, which a server sends before most others know of the change. */
  correct(slot: number, owner: string): void {
    if (this.#owners[slot] === owner) return
    const owners = [...this.#owners]
    owners[slot] = owner
    this.#owners = owners
    this.#onChange()
    this.refresh()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#run(), ms)
  }

  async #run(): Promise<void> {
    this.#refreshing = true
    this.#refreshAgain = false
    this.#refreshedAt = performance.now()
    const views = await this.#ask()
    this.#refreshing = false
    if (this.#closed) return
    if (views.length > 0) {
      for (const { servers } of views) for (const address of servers) this.#known.add(address)
      this.#owners = agree(views)
      this.#onChange()
    }
    if (this.#refreshAgain || views.length === 0) this.refresh()
    else this.#schedule(REFRESH_MS)
  }

  async #ask(): Promise<SlotView[]> {
    const inUse = this.#inUse()
    const round = this.#refreshCount++
    if (inUse.length > 0) {
      const { views } = await settledViews(some(inUse, round).map((client) => ask(client, ANSWER_MS)))
      if (views.length > 0) return views
    }
    const { views, errors } = await settledViews(some([...this.#known], round).map((address) => this.#askOnce(address)))
    if (views.length === 0) this.#onFailure(errors[0])
    return views
  }

  async #askOnce(address: string): Promise<SlotView> {
    const client = createOnceClient(this.#options, address)
    let cause: unknown
    client.on('error', (error) => {
      cause = error
    })
    try {
      const connected = client.connect()
      connected.catch(() => undefined)
      await within(CONNECT_AND_ANSWER_MS, connected)
      return await ask(client, ANSWER_MS)
    } catch (error) {
      // The error event says why a connection was closed: a refused password, a certificate.
      throw cause ?? error
    } finally {
      client.disconnect()
    }
  }
}

/** Asks a server for its view. Rejects if the server knows no slots: it is not part of a Cluster, or has just started. */
async function ask(client: Redis, ms: number): Promise<SlotView> {
  const answer = client.cluster('SLOTS')
  answer.catch(() => undefined)
  const view = readSlots(await within(ms, answer), client.options.host ?? '')
  if (view.servers.length === 0) throw new Error('the server knows no slots')
  return view
}

async function within<Result>(ms: number, answer: Promise<Result>): Promise<Result> {
  const late = new AbortController()
  const timeout = pause(ms, undefined, { signal: late.signal }).then(() => {
    throw new Error(`no answer within ${ms} ms`)
  })
  try {
    return await Promise.race([answer, timeout])
  } finally {
    late.abort()
    timeout.catch(() => undefined)
  }
}

async function settledViews(questions: Promise<SlotView>[]): Promise<{ views: SlotView[]; errors: unknown[] }> {
  const results = await Promise.allSettled(questions)
  return {
    views: results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
    errors: results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  }
}

/** Returns up to `ASKED_AT_ONCE` items, different ones in each round. */
function some<Item>(items: Item[], round: number): Item[] {
  const from = (round * ASKED_AT_ONCE) % Math.max(1, items.length)
  return [...items.slice(from), ...items.slice(0, from)].slice(0, ASKED_AT_ONCE)
}
