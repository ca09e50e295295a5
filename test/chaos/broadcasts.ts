import { setTimeout as pause } from 'node:timers/promises'
import type { Broadcast, Publish, Recall } from './journal.ts'
import type { Publishers } from './publishers.ts'
import { dice } from './schedule.ts'
import type { World } from './world.ts'

/** Time between two steps of a series, milliseconds. */
const PACE_MS = 900
/** Time after which a request that no node answered is abandoned, milliseconds. */
const GIVE_UP_MS = 30_000
/** Time after a run in which broadcasts end, milliseconds: the lease of a killed node runs out, and another one goes on. */
const END_MS = 60_000
const EXCEPTED = 0.3
const CANCELLED = 0.25
/** Part of the broadcasts that are followed at once by another one to the same topic. */
const PAIRED = 0.3

interface BroadcastsOptions {
  /** Users who may be members. */
  users: string[]
  /** Users who get no broadcast: those without a device, sleepers, and those who are erased. */
  absent: string[]
  /** Number of topics; 0: there are no broadcasts. */
  topics: number
  seed: number
}

/**
 * Publishers of broadcasts. Each topic has one, which changes the members between its broadcasts, and knows them at each time: it repeats a change
 * until it is answered. Another one publishes to everyone.
 */
export class Broadcasts {
  readonly broadcasts: Broadcast[] = []
  readonly #world: World
  readonly #publishers: Publishers
  readonly #options: BroadcastsOptions
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(world: World, publishers: Publishers, options: BroadcastsOptions) {
    this.#world = world
    this.#publishers = publishers
    this.#options = options
  }

  start(): void {
    const { topics, seed } = this.#options
    if (topics === 0) return
    this.#running = Promise.all([
      ...Array.from({ length: topics }, (_, number) => this.#serve(`topic-${number}`, dice(seed + 15_485_863 * (number + 1)))),
      this.#serveEveryone(dice(seed + 32_452_843))
    ])
  }

  /**
   * Stops publishing. Resolves when every broadcast has ended, or the time for that is over. The last one of each topic is not cancelled, and ends
   * after the recalls of those before it.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
    const deadline = Date.now() + END_MS
    for (const broadcast of this.broadcasts) {
      if (broadcast.id !== '') broadcast.end = await this.#ended(broadcast.id, deadline)
    }
  }

  async #serve(topic: string, random: () => number): Promise<void> {
    const members = new Set<string>()
    let sequence = 1
    while (!this.#stopping) {
      const joining = this.#options.users.filter((user) => !members.has(user) && random() < 0.3)
      const leaving = [...members].filter(() => random() < 0.2)
      if (joining.length + leaving.length > 0) {
        const change = { add: joining, remove: leaving }
        if (!(await this.#answered(random, 'PATCH', `/v1/topics/${topic}/members`, change))) return
        for (const user of joining) members.add(user)
        for (const user of leaving) members.delete(user)
      }
      const except = random() < EXCEPTED ? [...members].filter(() => random() < 0.3) : []
      const audience = [...members].filter((user) => !except.includes(user))
      const to = { topic, ...(except.length > 0 && { except }) }
      const first = this.#publish(topic, sequence++, to, audience, [], random)
      if (random() < PAIRED) {
        await first
        await this.#publish(topic, sequence++, to, audience, [], random)
      } else if (random() < CANCELLED) await this.#cancel(await first, random)
      await first
      await pause(PACE_MS * (0.5 + random()))
    }
    await this.#publish(topic, sequence, { topic }, [...members], [], random)
  }

  /** Publishes to everyone except the absent users. Users who were published to before must get the broadcast. The other users may get it. */
  async #serveEveryone(random: () => number): Promise<void> {
    for (let sequence = 1; !this.#stopping; sequence++) {
      await pause(3 * PACE_MS * (0.5 + random()))
      const taken = this.#publishers.publishes.filter(({ attempts }) => attempts.some(({ result }) => result?.status === 'accepted'))
      const known = new Set(taken.map(({ user }) => user))
      const members = this.#options.users.filter((user) => known.has(user))
      const others = this.#options.users.filter((user) => !known.has(user))
      await this.#publish('everyone', sequence, { everyone: true, except: this.#options.absent }, members, others, random)
    }
  }

  async #publish(
    queue: string,
    sequence: number,
    to: unknown,
    members: string[],
    others: string[],
    random: () => number
  ): Promise<Broadcast> {
    const key = `${queue}-${sequence}`
    const broadcast: Broadcast = { queue, sequence, key, id: '', notificationId: '', members, others, isCancelled: false, answeredAt: 0 }
    this.broadcasts.push(broadcast)
    const body = { to, type: 'chaos', title: key, timestamp: 1 }
    const answer = await this.#answered(random, 'POST', '/v1/notifications', body, { 'idempotency-key': `broadcast-${key}` })
    const { id = '', broadcast: job } = (answer ?? {}) as { id?: string; broadcast?: { id: string } }
    Object.assign(broadcast, { id: job?.id ?? '', notificationId: id, answeredAt: Date.now() })
    return broadcast
  }

  async #cancel(broadcast: Broadcast, random: () => number): Promise<void> {
    if (broadcast.id === '') return
    await pause(random() * 200)
    broadcast.isCancelled = true
    const isDone = (await this.#answered(random, 'DELETE', `/v1/broadcasts/${broadcast.id}`)) !== undefined
    if (!isDone) broadcast.isUncertain = true
  }

  /** Repeats a request until a node carries it out. Resolves with the body of the answer; undefined if none did in time, and null if there is nothing to read. */
  async #answered(
    random: () => number,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {}
  ): Promise<unknown> {
    const { caller, listening, doors } = this.#world
    for (const giveUp = Date.now() + GIVE_UP_MS; Date.now() < giveUp; ) {
      const node = this.#world.listening[Math.floor(random() * listening.length)]?.index ?? 0
      const answer = await caller.call(doors[node]?.port ?? 0, method, path, body, headers)
      if (answer.status >= 200 && answer.status < 300) return answer.body ?? {}
      // A store that lost its data does not know the broadcast any more, and never will.
      if (method === 'GET' && answer.status === 404) return null
      await pause(30 + random() * 300)
    }
    return undefined
  }

  async #ended(id: string, deadline: number): Promise<Broadcast['end']> {
    const random = dice(1)
    for (;;) {
      const found = (await this.#answered(random, 'GET', `/v1/broadcasts/${id}`)) as Broadcast['end'] | null
      if (found === null) return undefined
      if ((found !== undefined && found.status !== 'running') || Date.now() > deadline) return found
      await pause(200)
    }
  }
}

/** Returns the broadcasts as publishes to each of their members. Nothing is known of their rows but the id. */
export function publishesOf(broadcasts: Broadcast[]): Publish[] {
  return broadcasts
    .filter(({ id }) => id !== '')
    .flatMap(({ queue, sequence, key, notificationId, members, answeredAt }) =>
      members.map((user) => {
        const result = { id: notificationId, status: 'accepted', eventId: '', durability: 'none', nodes: 0 } as const
        const attempts = [{ sentAt: answeredAt, doneAt: answeredAt, node: 0, status: 202, result }]
        return { publisher: queue, user, sequence, key, attempts }
      })
    )
}

/** Returns the cancellations as recalls from each member. */
export function recallsOf(broadcasts: Broadcast[]): Recall[] {
  return broadcasts
    .filter(({ isCancelled }) => isCancelled)
    .flatMap(({ notificationId, members, isUncertain, answeredAt }) =>
      members.map((user) => ({ user, id: notificationId, status: isUncertain ? 0 : 204, doneAt: answeredAt }))
    )
}
