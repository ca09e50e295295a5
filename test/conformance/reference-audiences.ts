import { KEY_LENGTH } from '../../services/ids.ts'
import {
  type Audiences,
  BATCH_LEASE_MS,
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
} from '../../services/store/audiences.ts'
import {
  type BroadcastState,
  batchOf,
  broadcastIdOf,
  broadcastOf,
  cancelBroadcast,
  completeAudience,
  ERASED,
  FULL_RETRY_MS,
  isExpired,
  isForgotten,
  isNextBatch,
  newBroadcast,
  nextSpan,
  noteLease,
  queueOf,
  settleBatch,
  withoutName
} from '../../services/store/broadcast-step.ts'

/** The topics and broadcasts of the reference, which all nodes share. */
export interface AudiencesState {
  /** Members by topic. */
  members: Map<string, Set<string>>
  broadcasts: Map<string, BroadcastState>
  /** Audience by id of the broadcast. */
  audiences: Map<string, string[]>
  /** Ids of the broadcasts that wait, by name of the queue. */
  queues: Map<string, string[]>
  /** End of the lease by id of the broadcast, Unix milliseconds. */
  leases: Map<string, number>
}

export function emptyAudiences(): AudiencesState {
  return { members: new Map(), broadcasts: new Map(), audiences: new Map(), queues: new Map(), leases: new Map() }
}

/** Topics and broadcasts in memory. */
export class ReferenceAudiences implements Audiences {
  readonly publishesAtOnce = 1
  readonly #state: AudiencesState
  readonly #now: () => number
  /** Returns every user who has a log. */
  readonly #users: () => string[]

  constructor(state: AudiencesState, now: () => number, users: () => string[]) {
    this.#state = state
    this.#now = now
    this.#users = users
  }

  async changeMembers({ topic, add, remove }: MembersCommand): Promise<MembersResult> {
    const members = this.#members(topic)
    const before = members.size
    for (const name of add) members.add(name)
    const added = members.size - before
    for (const name of remove) members.delete(name)
    return { added, removed: before + added - members.size }
  }

  async members(topic: string, after: string | undefined, limit: number): Promise<MembersPage> {
    const names = [...this.#members(topic)].sort().filter((name) => after === undefined || name > after)
    const items = names.slice(0, limit)
    return { items, next: names.length > limit ? items.at(-1) : undefined }
  }

  async deleteTopic(topic: string): Promise<void> {
    this.#state.members.delete(topic)
  }

  async topicsOf(user: string): Promise<string[]> {
    return [...this.#state.members].flatMap(([topic, members]) => (members.has(user) ? [topic] : [])).sort()
  }

  /** Ends all memberships of a user. */
  leaveAll(user: string): void {
    for (const members of this.#state.members.values()) members.delete(user)
  }

  /** Removes the name of an erased user from the broadcasts that are kept. */
  eraseName(user: string): void {
    for (const broadcast of this.#state.broadcasts.values()) broadcast.to = withoutName(broadcast.to, user)
    for (const [id, names] of this.#state.audiences) {
      this.#state.audiences.set(
        id,
        names.map((name) => (name === user ? ERASED : name))
      )
    }
  }

  async start(command: BroadcastCommand): Promise<StartResult> {
    const { to, id, keyed } = command
    const queue = this.#queue(queueOf(to))
    const known = this.#known(broadcastIdOf(command)) ?? (keyed ? this.#withKey(queueOf(to), id.slice(0, KEY_LENGTH)) : undefined)
    if (known !== undefined) {
      return known.publish.id === id ? { status: 'replayed', broadcast: broadcastOf(known) } : { status: 'conflict' }
    }
    if (isExpired(command, this.#now())) return { status: 'expired' }
    if (queue.length >= BROADCASTS_MAX) return { status: 'full', retryAfterMs: FULL_RETRY_MS }
    const broadcast = newBroadcast(command, this.#now())
    this.#state.broadcasts.set(broadcast.id, broadcast)
    if ('topic' in to) this.#complete(broadcast, [...this.#members(to.topic)])
    if (broadcast.endedAt === 0) queue.push(broadcast.id)
    const isAlone = queue.length === 1 && queue[0] === broadcast.id && !broadcast.isCollecting
    const leased = isAlone ? this.#leaseHead(queueOf(to)) : undefined
    return { status: 'started', broadcast: broadcastOf(broadcast), batch: leased?.status === 'batch' ? leased.batch : undefined }
  }

  async broadcast(id: string): Promise<Broadcast | undefined> {
    const broadcast = this.#known(id)
    return broadcast && broadcastOf(broadcast)
  }

  async cancel(id: string): Promise<Broadcast | undefined> {
    const broadcast = this.#known(id)
    if (broadcast === undefined) return undefined
    if (cancelBroadcast(broadcast, this.#now())) {
      const name = queueOf(broadcast.to)
      const others = this.#queue(name).filter((other) => other !== id)
      this.#state.queues.set(name, broadcast.endedAt === 0 ? [id, ...others] : others)
      this.#state.leases.delete(id)
    }
    return broadcastOf(broadcast)
  }

  async lease(broadcastId: string): Promise<LeaseBatchResult> {
    const broadcast = this.#known(broadcastId)
    return broadcast === undefined ? { status: 'idle' } : this.#leaseHead(queueOf(broadcast.to))
  }

  async settle(command: SettleBatchCommand): Promise<LeaseBatchResult> {
    const broadcast = this.#known(command.broadcastId)
    if (broadcast === undefined) return { status: 'idle' }
    if (settleBatch(broadcast, command, this.#now())) this.#state.leases.delete(broadcast.id)
    return this.#leaseHead(queueOf(broadcast.to))
  }

  async release(batch: BatchName): Promise<void> {
    const broadcast = this.#known(batch.broadcastId)
    if (broadcast !== undefined && isNextBatch(broadcast, batch)) this.#state.leases.delete(broadcast.id)
  }

  async waiting(): Promise<string[]> {
    return [...this.#state.queues.keys()].flatMap((name) => {
      const head = this.#head(name)
      return head === undefined || this.#isLeased(head.id) ? [] : [head.id]
    })
  }

  #leaseHead(name: string): LeaseBatchResult {
    const head = this.#head(name)
    if (head === undefined) return { status: 'idle' }
    if (this.#isLeased(head.id)) return { status: 'leased' }
    if (head.isCollecting) {
      this.#complete(head, this.#users())
      return { status: 'collecting' }
    }
    this.#state.leases.set(head.id, this.#now() + BATCH_LEASE_MS)
    noteLease(head)
    const { from, to } = nextSpan(head)
    return { status: 'batch', batch: batchOf(head, this.#state.audiences.get(head.id)?.slice(from, to) ?? []) }
  }

  #complete(broadcast: BroadcastState, names: string[]): void {
    const audience = names.filter((name) => !broadcast.to.except.includes(name))
    this.#state.audiences.set(broadcast.id, audience)
    completeAudience(broadcast, audience.length, this.#now())
  }

  /** Returns the first broadcast of a queue that has not ended, and removes those before it. */
  #head(name: string): BroadcastState | undefined {
    const queue = this.#queue(name)
    for (;;) {
      const broadcast = this.#state.broadcasts.get(queue[0] ?? '')
      if (broadcast === undefined || broadcast.endedAt === 0) return broadcast
      queue.shift()
    }
  }

  #isLeased(id: string): boolean {
    return (this.#state.leases.get(id) ?? 0) > this.#now()
  }

  #known(id: string): BroadcastState | undefined {
    const broadcast = this.#state.broadcasts.get(id)
    return broadcast === undefined || isForgotten(broadcast, this.#now()) ? undefined : broadcast
  }

  #withKey(name: string, key: string): BroadcastState | undefined {
    const ofQueue = [...this.#state.broadcasts.values()].filter(({ to }) => queueOf(to) === name)
    return ofQueue.find(({ id, publish }) => publish.id.startsWith(key) && this.#known(id) !== undefined)
  }

  #members(topic: string): Set<string> {
    const members = this.#state.members.get(topic) ?? new Set<string>()
    this.#state.members.set(topic, members)
    return members
  }

  #queue(name: string): string[] {
    const queue = this.#state.queues.get(name) ?? []
    this.#state.queues.set(name, queue)
    return queue
  }
}
