import { setTimeout as pause } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { signToken } from '../../services/auth/signing.ts'
import { parseEventId } from '../../services/protocol/index.ts'
import type { Unless } from '../../services/store/store.ts'
import type { CallReceiver, SubscriptionJson } from './call-receiver.ts'
import type { Look, OwedPublish, PushPeriod, ReachJournal } from './journal.ts'
import type { Publishers } from './publishers.ts'
import { dice } from './schedule.ts'
import { PUSH_AFTER_SECONDS, SECRET, type World } from './world.ts'

const PUSH_AFTER_MS = PUSH_AFTER_SECONDS * 1000
const DEVICE = 'phone'
/** Mean time between two notifications of a sleeper, and between two looks, milliseconds. */
const PUBLISH_MS = 700
const LOOK_MS = 5000
/** Parts of the notifications with a fallback, without a push, with a collapse key, and of those that are recalled. */
const FALLBACK = 0.5
const SILENT = 0.15
const COLLAPSING = 0.1
const RECALLED = 0.06
/** Part of the looks that mark some notifications. */
const MARKING = 0.5
/** Time between two users who are erased, and from the publishes of one to the erasure, milliseconds. */
const ERASE_EVERY_MS = 4000
const ERASE_AFTER_MS = 700
/** Most users who are erased in a run: a broadcast to everyone names them all in `except`, which is limited. */
const ERASED_MAX = 60
/** Time after the end of a subscription until the browser subscribes again, milliseconds: several pushes are due by then. */
const RENEW_MS = 10_000
const LOOK_TIMEOUT_MS = 4000
const RETRY_MS = 200
const POLL_MS = 500
/** Time after the last publish in which every check is due, milliseconds. */
const DUE_MS = 4000

const CONDITIONS: Unless[] = ['read', 'read', 'seen', 'delivered']

interface SleepersOptions {
  /** Number of sleepers. */
  count: number
  /** Length of the run, seconds. */
  seconds: number
  seed: number
}

/**
 * Users without an open tab, whom pushes and fallbacks are for. Each has a push subscription, and now and then looks: connects, acknowledges
 * everything, and marks some notifications. Other users are erased while calls are owed to them.
 */
export class Sleepers {
  readonly users: string[]
  /** The users who are erased in the run. */
  readonly erased: string[]
  readonly #world: World
  readonly #receiver: CallReceiver
  readonly #publishers: Publishers
  readonly #random: () => number
  readonly #owed: OwedPublish[] = []
  readonly #looks: Look[] = []
  readonly #periods: PushPeriod[] = []
  readonly #erasures: { user: string; at: number }[] = []
  readonly #subscriptions = new Map<string, SubscriptionJson>()
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()
  #stoppedAt = 0
  #waiting: OwedPublish[] = []

  constructor(world: World, publishers: Publishers, { count, seconds, seed }: SleepersOptions) {
    this.#world = world
    this.#receiver = world.receiver
    this.#publishers = publishers
    this.#random = dice(seed + 49_979_687)
    this.users = Array.from({ length: count }, (_, number) => `sleeper-${number}`)
    const erasures = Math.min(ERASED_MAX, Math.ceil((seconds * 1000) / ERASE_EVERY_MS))
    this.erased = Array.from({ length: erasures }, (_, number) => `erased-${number}`)
  }

  start(): void {
    const sleeping = this.users.map(async (user) => {
      await this.#subscribe(user)
      await Promise.all([this.#publish(user), this.#look(user)])
    })
    this.#running = Promise.all([...sleeping, this.#erase()])
  }

  /** Resolves when the last requests have ended. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
    this.#stoppedAt = Date.now()
  }

  /** Ends the subscription of a sleeper at the push service, which answers 410 from then on. The browser subscribes again some time later. */
  async endSubscription(pick: number): Promise<void> {
    const user = this.users[Math.floor(pick * this.users.length)] as string
    const subscription = this.#subscriptions.get(user)
    if (subscription === undefined) return
    this.#subscriptions.delete(user)
    this.#receiver.end(subscription)
    const period = this.#periods.find(({ endpoint }) => endpoint === subscription.endpoint)
    if (period !== undefined) period.to = Date.now()
    await pause(RENEW_MS)
    await this.#subscribe(user)
  }

  /** Waits until no call waits for its receiver, for `ms` at most. */
  async rest(ms: number): Promise<void> {
    const deadline = Date.now() + ms
    await pause(Math.max(0, this.#stoppedAt + DUE_MS - Date.now()))
    this.#waiting = this.#owed
    while (Date.now() < deadline) {
      const left: OwedPublish[] = []
      for (const publish of this.#waiting) {
        const { status, body } = await this.#call('GET', `/v1/users/${publish.user}/notifications/${publish.id}/receipts`)
        const { push = [], fallback } = (body ?? {}) as { push?: { status: string }[]; fallback?: { status: string } | null }
        if (![200, 404].includes(status) || [...push, fallback].some((one) => one?.status === 'waiting')) left.push(publish)
      }
      this.#waiting = left
      if (left.length === 0) return
      await pause(POLL_MS)
    }
  }

  journal(): ReachJournal {
    return {
      owed: this.#owed,
      looks: this.#looks,
      periods: this.#periods,
      erasures: this.#erasures,
      calls: this.#receiver.calls,
      windows: this.#world.callWindows,
      pushAfterMs: PUSH_AFTER_MS,
      waiting: this.#waiting.map(({ user, id }) => `${user} ${id}`),
      endedAt: Date.now()
    }
  }

  async #subscribe(user: string): Promise<void> {
    const subscription = this.#receiver.subscribe(user)
    const headers = { authorization: `Bearer ${signToken(SECRET, user)}` }
    const path = `/v1/me/devices/${DEVICE}/push`
    while (!this.#stopping) {
      if ((await this.#call('PUT', path, subscription, headers)).status === 204) {
        this.#subscriptions.set(user, subscription)
        const { endpoint } = subscription
        this.#periods.push({ user, endpoint, path: new URL(endpoint).pathname, from: Date.now(), to: Number.MAX_SAFE_INTEGER })
        return
      }
      await pause(RETRY_MS)
    }
  }

  async #publish(user: string): Promise<void> {
    const random = this.#random
    for (let number = 0; !this.#stopping; number++) {
      const fallback =
        random() < FALLBACK
          ? { after: 1 + Math.floor(3 * random()), unless: CONDITIONS[Math.floor(random() * CONDITIONS.length)] as Unless }
          : undefined
      const isSilent = random() < SILENT
      const collapsing = random() < COLLAPSING ? { collapseKey: 'sleeping' } : {}
      const more = { ...(fallback && { fallback }), ...(isSilent && { push: false as const }), ...collapsing }
      const id = await this.#publishers.publish(user, `${user}-${number}`, more)
      if (id !== '') this.#owed.push({ user, id, isPushed: !isSilent, ...(fallback && { fallback }) })
      if (id !== '' && random() < RECALLED) await this.#publishers.recall(user, id, random() * 2000)
      await pause(PUBLISH_MS * (0.5 + random()))
    }
  }

  async #look(user: string): Promise<void> {
    const random = this.#random
    while (!this.#stopping) {
      await this.#pause(LOOK_MS * (0.5 + random()))
      const begunAt = Date.now()
      const look: Look = { user, begunAt, doneAt: 0, endedAt: Number.MAX_SAFE_INTEGER, epoch: '', offset: 0 }
      this.#looks.push(look)
      await this.#acknowledge(user)
      const { body } = await this.#call('GET', `/v1/users/${user}/queue`)
      const { devices = [] } = (body ?? {}) as { devices?: { deviceId: string; eventId: string }[] }
      const at = parseEventId(devices.find(({ deviceId }) => deviceId === DEVICE)?.eventId ?? '')
      if (at !== undefined) Object.assign(look, { doneAt: Date.now(), epoch: at.epoch, offset: at.offset })
      if (random() < MARKING) await this.#mark(user)
      look.endedAt = Date.now()
    }
  }

  /** Connects, acknowledges everything, and disconnects. */
  async #acknowledge(user: string): Promise<void> {
    const url = `${this.#world.deviceUrl.replace('http', 'ws')}/v1/ws?device_id=${DEVICE}`
    const socket = new WebSocket(url, ['belfry.v1', `bearer.${signToken(SECRET, user)}`], { handshakeTimeout: LOOK_TIMEOUT_MS })
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => socket.terminate(), LOOK_TIMEOUT_MS)
      let last = ''
      socket.on('error', () => undefined)
      socket.on('close', () => {
        clearTimeout(late)
        resolve()
      })
      socket.on('message', (data) => {
        const frame = JSON.parse(String(data)) as { type: string; eventId?: string; lastEventId?: string }
        last = frame.eventId ?? frame.lastEventId ?? last
        if (frame.type !== 'caughtUp') return
        if (last !== '') socket.send(JSON.stringify({ type: 'ack', eventId: last }))
        setTimeout(() => socket.close(), 150)
      })
    })
  }

  async #mark(user: string): Promise<void> {
    const { body } = await this.#call('GET', `/v1/users/${user}/notifications?state=unread&limit=4`)
    const { items = [] } = (body ?? {}) as { items?: { id: string }[] }
    const state = this.#random() < 0.5 ? 'seen' : 'read'
    if (items.length > 0) await this.#call('POST', `/v1/users/${user}/notifications/mark`, { ids: items.map(({ id }) => id), state })
  }

  /** Erases users one after another, each while pushes and fallbacks are due for them, and before one that no delay explains. */
  async #erase(): Promise<void> {
    for (const user of this.erased) {
      if (this.#stopping) return
      await this.#subscribe(user)
      let isKnown = true
      for (const after of [0, 1, 2, 6]) {
        const body = { to: user, type: 'chaos', title: user, fallback: { after } }
        if ((await this.#call('POST', '/v1/notifications', body)).status !== 202) isKnown = false
      }
      await pause(ERASE_AFTER_MS)
      while (!this.#stopping) {
        if ((await this.#call('DELETE', `/v1/users/${user}`)).status === 204) {
          // A publish without an answer may be carried out after the erasure.
          if (isKnown) this.#erasures.push({ user, at: Date.now() })
          break
        }
        await pause(RETRY_MS)
      }
      await this.#pause(ERASE_EVERY_MS)
    }
  }

  /** Waits. Resolves early when the run stops. */
  async #pause(ms: number): Promise<void> {
    for (let left = ms; left > 0 && !this.#stopping; left -= POLL_MS) await pause(POLL_MS)
  }

  #call(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
    const { listening, nodes, doors, caller } = this.#world
    const node = listening[Math.floor(this.#random() * listening.length)] ?? nodes[0]
    return caller.call(doors[node?.index ?? 0]?.port ?? 0, method, path, body, headers)
  }
}
