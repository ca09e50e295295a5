import type { State } from '../../protocol/index.ts'
import { leaseFrom } from '../lease-users.ts'
import type {
  CallOutcome,
  LeaseCommand,
  LeasedCall,
  LeaseResult,
  Outbox,
  PresenceChange,
  PushSubscription,
  SettleCommand
} from '../outbox.ts'
import { ALL_BUCKETS, type Keys } from './keys.ts'
import { bytes, list, number, type Reply, text } from './reply.ts'
import type { LogScript, OwnArgs } from './script-table.ts'

/** Users of one bucket that one look at a lane finds at most. */
const USERS_PER_BUCKET = 4

/** Age at which the users that were found are looked for again, milliseconds: other nodes lease their calls, too. */
const FOUND_FOR_MS = 1000

/** Time since a call was due after which every node leases it, not only the node whose share its user is in, milliseconds. */
const OVERDUE_MS = 2000

/** Time between two looks at the users of other nodes' shares, milliseconds. */
const OTHERS_EVERY_MS = 5000

interface Steps {
  step<Name extends LogScript>(name: Name, user: string, args: OwnArgs<Name>): Promise<Reply>
  /** Returns this node's share of the buckets. */
  share(): Promise<number[]>
  /** Finds the users of these buckets whose time in an index, whose keys are given by bucket, is overdue for so long. */
  dueUsers(keys: readonly string[], buckets: ReadonlySet<number>, overdueMs: number, maxUsers: number): Promise<string[]>
}

/** Users with calls in a lane. Times are on the monotonic clock, milliseconds. */
interface Found {
  users: string[]
  staleAt: number
  othersAt: number
}

/** The outbox of the Redis store. Each step of a user is one script. */
export class RedisOutbox implements Outbox {
  readonly #keys: Keys
  readonly #steps: Steps
  readonly #foundByLane = new Map<string, Found>()

  constructor(keys: Keys, steps: Steps) {
    this.#keys = keys
    this.#steps = steps
  }

  async putSubscription(user: string, subscription: PushSubscription): Promise<'kept' | 'full'> {
    const { deviceId, lane, expirationTime, endpoint, p256dh, auth } = subscription
    const args = { device: deviceId, lane, subscription: `${lane} ${expirationTime} ${endpoint} ${p256dh} ${auth}` }
    return text(await this.#steps.step('subscribe', user, args)) as 'kept' | 'full'
  }

  async deleteSubscription(user: string, deviceId: string): Promise<boolean> {
    return (await this.#steps.step('unsubscribe', user, { device: deviceId })) === 1
  }

  async subscriptions(user: string): Promise<PushSubscription[]> {
    const parts = list(await this.#steps.step('subscriptions', user, {})).map(text)
    const subscriptions: PushSubscription[] = []
    for (let i = 0; i < parts.length; i += 2) subscriptions.push(subscriptionOf(parts[i] as string, parts[i + 1] as string))
    return subscriptions.sort((one, other) => (one.deviceId < other.deviceId ? -1 : 1))
  }

  async lease({ lane, limit, user }: LeaseCommand): Promise<LeaseResult> {
    const leaseOf = async (caller: string, maxCalls: number): Promise<LeaseResult> =>
      leaseResult(caller, lane, await this.#steps.step('lease', caller, { lane, maxCalls }))
    return user === undefined ? await leaseFrom(await this.#callers(lane), limit, leaseOf) : await leaseOf(user, limit)
  }

  async settle({ user, epoch, no, madeAt, attempt, outcome }: SettleCommand): Promise<boolean> {
    const args = { callEpoch: epoch, no, madeAt, attempt, outcome: outcome.status, ...detailsOf(outcome) }
    return (await this.#steps.step('settle', user, args)) === 1
  }

  async notePresence(user: string, change: PresenceChange): Promise<boolean> {
    return (await this.#steps.step('presence', user, { change })) === 1
  }

  /** Returns users with due calls in a lane, from the latest look at it, or from a new one if they are used up. The list is to be emptied from its front. */
  async #callers(lane: string): Promise<string[]> {
    const now = performance.now()
    const found = this.#foundByLane.get(lane) ?? { users: [], staleAt: 0, othersAt: 0 }
    if (found.users.length > 0 && found.staleAt > now) return found.users
    const isTimeForOthers = found.othersAt <= now
    this.#foundByLane.set(lane, { users: [], staleAt: 0, othersAt: isTimeForOthers ? now + OTHERS_EVERY_MS : found.othersAt })
    const keys = this.#keys.callers(lane)
    const mine = new Set(await this.#steps.share())
    const users = new Set(await this.#steps.dueUsers(keys, mine, 0, USERS_PER_BUCKET))
    if (isTimeForOthers) {
      const others = new Set(ALL_BUCKETS.filter((bucket) => !mine.has(bucket)))
      for (const user of await this.#steps.dueUsers(keys, others, OVERDUE_MS, USERS_PER_BUCKET)) users.add(user)
    }
    const { othersAt } = this.#foundByLane.get(lane) as Found
    const latest = { users: [...users], staleAt: performance.now() + FOUND_FOR_MS, othersAt }
    this.#foundByLane.set(lane, latest)
    return latest.users
  }
}

function subscriptionOf(deviceId: string, kept: string): PushSubscription {
  const [lane = '', expirationTime = '', endpoint = '', p256dh = '', auth = ''] = kept.split(' ')
  return { deviceId, endpoint, p256dh, auth, expirationTime: Number(expirationTime), lane }
}

/** Returns the arguments of `settle` that depend on the outcome. */
function detailsOf(outcome: CallOutcome): { retryAt: number; endpoint: string } {
  return { retryAt: outcome.status === 'retry' ? outcome.at : 0, endpoint: outcome.status === 'gone' ? outcome.endpoint : '' }
}

function leaseResult(user: string, lane: string, reply: Reply): LeaseResult {
  const [dropped, ...calls] = list(reply)
  return { calls: calls.map((call) => callOf(user, lane, list(call))), dropped: number(dropped) }
}

function callOf(user: string, lane: string, parts: Reply[]): LeasedCall {
  const [no, epochText, event, attempt, dueAt, madeAt, ...details] = parts
  const epoch = text(epochText)
  const common = { user, epoch, no: number(no), lane, attempt: number(attempt), dueAt: number(dueAt), madeAt: number(madeAt) }
  const name = text(event) as LeasedCall['event']
  if (name !== 'push' && name !== 'notification.fallback') return { ...common, event: name, data: text(details[0]) }
  const [offset, row, state, ...rest] = details
  const item = { epoch, offset: number(offset), row: bytes(row), state: text(state) as State, answer: undefined }
  if (name === 'notification.fallback') return { ...common, event: name, item, devices: devicesOf(rest.map(text), item) }
  const [unread, unseen, deviceId, subscription] = rest
  const counts = { unread: number(unread), unseen: number(unseen) }
  return { ...common, event: name, item, ...counts, subscription: subscriptionOf(text(deviceId), text(subscription)) }
}

/** Reads devices with their cursors, as `prelude-load.lua` keeps them. */
function devicesOf(parts: string[], item: { epoch: string; offset: number }): { deviceId: string; received: boolean; at: number }[] {
  const devices: { deviceId: string; received: boolean; at: number }[] = []
  for (let i = 0; i < parts.length; i += 2) {
    const [epoch, offset, , at] = (parts[i + 1] as string).split(' ')
    const received = epoch === item.epoch && Number(offset) >= item.offset
    devices.push({ deviceId: parts[i] as string, received, at: Number(at) })
  }
  return devices.sort((one, other) => (one.deviceId < other.deviceId ? -1 : 1))
}
