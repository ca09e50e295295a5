import { setTimeout as pause } from 'node:timers/promises'
import type { Durability } from '../../services/store/store.ts'
import { drawOptions } from './draw-options.ts'
import type { Attempt, Conflict, Publish, PublishedOptions, Recall } from './journal.ts'
import { markOneByOne } from './marking.ts'
import { dice } from './schedule.ts'
import type { World } from './world.ts'

/** Time after which a publisher abandons a publish that no node answered, milliseconds. */
const GIVE_UP_MS = 25_000
const MAX_PACE_MS = 3000

interface PublishersOptions {
  users: string[]
  /** Users without a device. Each gets one burst over the rate, and nothing else. */
  absent: string[]
  /** The bursts are spread over this time, milliseconds. */
  ms: number
  /** Notifications a second of all publishers together. */
  rate: number
  seed: number
}

type Body = Record<string, unknown>

interface PublishBody {
  id: string
  durability: Durability
  results: {
    status: 'accepted' | 'parked' | 'scheduled' | 'rejected'
    eventId?: string
    deliverAt?: number
    nodes: number
    code?: string
  }[]
}

const PUBLISHERS = 24
/** Part of the publishes with a half-life, which are dropped when they are parked for long. */
const FADING = 0.04
/**
 * Part of the single publishes without an Idempotency-Key. They are sent once: whether one without an answer was carried out is never known.
 * The usual script of the Redis store takes only publishes without a key.
 */
const UNKEYED = 0.35
/** Part of the publishes that may be repeated later, and the chance of a repeat before a publish. */
const REMEMBERED = 0.3
const REPEATED = 0.05
/** Parts of the batches after which all are recalled, or the inbox is marked one by one. */
const RECALLED_BATCHES = 0.3
const MARKED_BATCHES = 0.3
/** Notifications of a burst: more than two windows of the rate. */
const BURST = 25
/** Notifications of a burst in one batch: its last are released 3.5 s later, so that kills of a node come between. */
const BATCH_BURST = 45

/**
 * Publishers of a careful service: each sends one request at a time, most with a key, and retries those on another node until it gets an answer.
 * The last third of the users get something only every few seconds. The absent users get bursts over the rate; only the nodes' sweeps
 * release what is parked for them.
 */
export class Publishers {
  readonly publishes: Publish[] = []
  readonly recalls: Recall[] = []
  /** Requests with a used key and another body. */
  readonly conflicts: Conflict[] = []
  /** Body by publish, for answered publishes that may be repeated. */
  readonly #bodies = new Map<Publish, Body>()
  readonly #random: () => number
  readonly #world: World
  readonly #options: PublishersOptions
  readonly #dueByQuietUser = new Map<string, number>()
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(world: World, options: PublishersOptions) {
    this.#world = world
    this.#options = options
    this.#random = dice(options.seed + 31)
  }

  start(): void {
    const { absent } = this.#options
    this.#running = Promise.all([
      ...Array.from({ length: PUBLISHERS }, (_, number) => this.#publish(number)),
      ...absent.map((user, number) => this.#burst(user, number))
    ])
  }

  /** Stops the publishers. Resolves when their last requests are finished. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  async #publish(number: number): Promise<void> {
    const { users, rate, seed } = this.#options
    const random = dice(seed + 7919 * (number + 1))
    const name = `publisher-${number}`
    const pace = (1000 * PUBLISHERS) / rate
    let sequence = 0
    let due = Date.now() + random() * pace
    while (!this.#stopping) {
      const busy = Math.floor((users.length * 2) / 3)
      const user = this.#quiet(random, busy) ?? (users[Math.floor(random() * busy)] as string)
      const count = random() < 0.05 ? 10 + Math.floor(random() * 10) : 1
      if (random() < REPEATED) await this.#repeat(random)
      if (count > 1 && random() < 0.3) await this.#batch(name, user, count, random)
      else {
        for (let i = 0; i < count && !this.#stopping; i++) {
          sequence += 1
          await this.#one(name, user, sequence, random)
        }
      }
      due = Math.max(due + count * pace * (0.5 + random()), Date.now() - MAX_PACE_MS)
      await pause(Math.max(0, Math.min(due - Date.now(), MAX_PACE_MS)))
    }
  }

  /**
   * Repeats an answered publish, like a publisher that lost the answer, or sends another body with its key. The first notification may have
   * been recalled or folded since.
   */
  async #repeat(random: () => number): Promise<void> {
    const settled = [...this.#bodies.keys()]
    const publish = settled[Math.floor(random() * settled.length)]
    const body = publish === undefined ? undefined : this.#bodies.get(publish)
    if (publish === undefined || body === undefined) return
    if (random() < 0.5) publish.attempts.push({ ...(await this.#once(publish, body, random)), repeat: true })
    else {
      const { status, sentAt } = await this.#once(publish, { ...body, title: 'another body' }, random)
      this.conflicts.push({ user: publish.user, key: publish.key, status, sentAt })
    }
  }

  async connectionsOf(user: string): Promise<number> {
    const { body } = await this.#world.caller.call(this.#door(this.#random).door, 'GET', `/v1/users/${user}/connections`)
    return (body as { items?: unknown[] } | undefined)?.items?.length ?? -1
  }

  /** Publishes a notification, or repeats it if the key is known. Returns its id, or '' if no node answered. */
  async publish(user: string, key: string, options: PublishedOptions = {}): Promise<string> {
    const known = this.publishes.find((publish) => publish.key === key)
    const publish = known ?? { publisher: 'fork', user, sequence: undefined, key, options, attempts: [] }
    if (known === undefined) this.publishes.push(publish)
    await this.#settle(publish, { to: user, type: 'chaos', title: key, timestamp: 1, ...options }, this.#random)
    return publish.attempts.at(-1)?.result?.id ?? ''
  }

  async #burst(user: string, number: number): Promise<void> {
    const random = dice(this.#options.seed + 104_729 * (number + 1))
    const at = Date.now() + random() * this.#options.ms
    while (Date.now() < at && !this.#stopping) await pause(Math.min(200, Math.max(0, at - Date.now())))
    if (number % 2 === 0) await this.#publishBatch(`burst-${number}`, user, BATCH_BURST, random)
    else for (let sequence = 1; sequence <= BURST && !this.#stopping; sequence++) await this.#one(`burst-${number}`, user, sequence, random)
  }

  /** Returns one of the quiet users, or undefined if their next notification is not due. */
  #quiet(random: () => number, busy: number): string | undefined {
    const { users } = this.#options
    const user = users[busy + Math.floor(random() * (users.length - busy))] as string
    if ((this.#dueByQuietUser.get(user) ?? 0) > Date.now()) return undefined
    this.#dueByQuietUser.set(user, Date.now() + 4000 + random() * 3000)
    return user
  }

  async #one(publisher: string, user: string, sequence: number, random: () => number): Promise<void> {
    const options = drawOptions(random, Date.now())
    const key = `${publisher}-${sequence}`
    const isKeyed = random() >= UNKEYED
    const publish: Publish = { publisher, user, sequence, key, ...(!isKeyed && { isUnkeyed: true }), options, attempts: [] }
    this.publishes.push(publish)
    const fading = random() < FADING ? { halfLife: 1 } : {}
    const body = { to: user, type: 'chaos', title: publish.key, timestamp: 1, data: { publisher, sequence }, ...fading, ...options }
    await this.#settle(publish, body, random)
    const id = publish.attempts.at(-1)?.result?.id
    if (id === undefined) return
    // A repeat for an absent user would release parked notifications.
    if (isKeyed && random() < REMEMBERED && !this.#options.absent.includes(user)) this.#bodies.set(publish, body)
    if (random() < 0.02) {
      await this.recall(user, id, random() * 400)
      if (isKeyed && random() < 0.5) publish.attempts.push({ ...(await this.#once(publish, body, random)), repeat: true })
    }
  }

  /** Retries until a node answers; not without a key. A notification that expired before any node answered is refused. */
  async #settle(publish: Publish, body: Body, random: () => number): Promise<void> {
    const giveUp = Date.now() + GIVE_UP_MS
    while (Date.now() < giveUp) {
      const attempt = await this.#once(publish, body, random)
      publish.attempts.push(attempt)
      if (attempt.result !== undefined || attempt.status === 400 || publish.isUnkeyed) break
      await pause(30 + random() * 300)
    }
  }

  /** Publishes a batch. Some batches are recalled as a whole; after some, the user's notifications are marked one by one. */
  async #batch(publisher: string, user: string, count: number, random: () => number): Promise<void> {
    const ids = await this.#publishBatch(publisher, user, count, random)
    const chance = random()
    if (chance < RECALLED_BATCHES) await Promise.all(ids.map((id) => this.recall(user, id, 0)))
    else if (chance < RECALLED_BATCHES + MARKED_BATCHES) await markOneByOne(this.#world, () => this.#door(random).door, user)
  }

  /** Publishes several at once, without an order among them; each may fail on its own. Returns the ids of those that a node answered. */
  async #publishBatch(publisher: string, user: string, count: number, random: () => number): Promise<string[]> {
    const waiting: Publish[] = Array.from({ length: count }, () => {
      const key = `${publisher}-b${this.publishes.length}-${Math.floor(random() * 1e9)}`
      const publish: Publish = { publisher, user, sequence: undefined, key, attempts: [] }
      this.publishes.push(publish)
      return publish
    })
    const giveUp = Date.now() + GIVE_UP_MS
    for (let left = waiting; left.length > 0 && Date.now() < giveUp; left = left.filter(({ attempts }) => !attempts.at(-1)?.result)) {
      const notifications = left.map(({ key }) => ({ to: user, type: 'chaos', title: key, timestamp: 1, idempotencyKey: key }))
      const { node, door } = this.#door(random)
      const sentAt = Date.now()
      const { status, body } = await this.#world.caller.call(door, 'POST', '/v1/notifications/batch', { notifications })
      const results = (body as { results?: (PublishBody & { problem?: { code: string; status: number } })[] } | undefined)?.results ?? []
      for (const [index, publish] of left.entries()) {
        const item = results[index]
        const itemStatus = item?.problem === undefined ? status : item.problem.status
        publish.attempts.push(attemptOf(sentAt, node, itemStatus, item?.problem === undefined ? item : undefined, item?.problem?.code))
      }
      await pause(30 + random() * 300)
    }
    return waiting.flatMap(({ attempts }) => attempts.at(-1)?.result?.id ?? [])
  }

  async #once({ key, isUnkeyed }: Publish, body: Body, random: () => number): Promise<Attempt> {
    const { node, door } = this.#door(random)
    const sentAt = Date.now()
    const headers: Record<string, string> = isUnkeyed ? {} : { 'idempotency-key': key }
    const answer = await this.#world.caller.call(door, 'POST', '/v1/notifications', body, headers)
    const taken = answer.status === 202 || answer.status === 200 ? (answer.body as PublishBody) : undefined
    return attemptOf(sentAt, node, answer.status, taken, (answer.body as { code?: string } | undefined)?.code)
  }

  /** Recalls a notification some time later. Retries until a node answers. */
  async recall(user: string, id: string, afterMs: number): Promise<void> {
    const random = this.#random
    await pause(afterMs)
    const recall: Recall = { user, id, status: 0, doneAt: 0 }
    this.recalls.push(recall)
    const giveUp = Date.now() + GIVE_UP_MS
    while (Date.now() < giveUp && ![204, 404].includes(recall.status)) {
      const path = `/v1/users/${user}/notifications/${id}`
      recall.status = (await this.#world.caller.call(this.#door(random).door, 'DELETE', path)).status
      recall.doneAt = Date.now()
      if (![204, 404].includes(recall.status)) await pause(30 + random() * 300)
    }
  }

  #door(random: () => number): { node: number; door: number } {
    const { listening } = this.#world
    const node = listening[Math.floor(random() * listening.length)]?.index ?? 0
    return { node, door: this.#world.doors[node]?.port ?? 0 }
  }
}

function attemptOf(sentAt: number, node: number, status: number, body: PublishBody | undefined, code: string | undefined): Attempt {
  const attempt: Attempt = { sentAt, doneAt: Date.now(), node, status }
  const [result] = body?.results ?? []
  if (body === undefined || result === undefined || result.status === 'rejected') return code === undefined ? attempt : { ...attempt, code }
  const { status: outcome, eventId = '', nodes, deliverAt } = result
  const common = { id: body.id, status: outcome, eventId, durability: body.durability, nodes }
  return { ...attempt, result: deliverAt === undefined ? common : { ...common, deliverAt } }
}
