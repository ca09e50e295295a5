import { setTimeout as pause } from 'node:timers/promises'
import type { Answer, State } from '../../services/protocol/index.ts'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import type { CallOutcome, LeasedCall, PublishOptions, PushSubscription, StoreSettings } from '../../services/store/store.ts'
import { idOf, tailOf } from '../conformance/stage.ts'

/** A message of the child after each answer. */
export type Answered =
  | { op: 'publish'; user: string; number: number; offset: number | undefined; options: PublishOptions }
  | { op: 'answer'; user: string; number: number; answer: Answer }
  | { op: 'mark'; user: string; numbers: number[]; state: State }
  | { op: 'ack'; user: string; offset: number }
  | { op: 'retract'; user: string; number: number; result: string }
  | { op: 'lease'; user: string; number: number; no: number; attempt: number; outcome: CallOutcome['status'] }
  | { op: 'settle'; user: string; no: number }

export const chaosUsers = ['alice', 'bob', 'carol']

export const chaosSettings: StoreSettings = {
  rateLimit: 40,
  rateWindowMs: 200,
  parkedMax: 1_000_000,
  scheduledMax: 1000,
  retentionMs: 86_400_000,
  maxEntries: 1_000_000,
  maxConnections: 0,
  revocationTtlMs: 86_400_000,
  webhookEvents: ['notification.fallback']
}

/** Collapse keys of a user. */
const KEYS = 3

/** Returns the options of a notification by its number: half have none. Those with actions come back in the unread ones of the inbox. */
export function optionsOf(number: number, now: number): PublishOptions {
  const soon = now + 10 + (number % 90)
  switch (number % 10) {
    case 1:
      return { level: (number % 4) - 2 }
    case 2:
      return { fallback: { afterMs: number % 30, unless: 'read' } }
    case 3:
      return { expiresAt: soon }
    case 5:
      return { collapseKey: `key-${number % KEYS}` }
    case 7:
      return { deliverAt: soon }
    case 9:
      return { actions: ['approve', 'reject'], ...(number % 20 === 9 && { expiresAt: now + 500 }) }
    default:
      return {}
  }
}

export function subscriptionOf(user: string): PushSubscription {
  return { deviceId: 'phone', endpoint: `https://push.test/${user}`, p256dh: 'p', auth: 'a', expirationTime: 0, lane: 'fcm' }
}

/** Returns the number of the notification that a fallback is for. */
export function notificationOf(call: LeasedCall): number {
  return call.event === 'notification.fallback' ? numberOf(call.item.row) : 0
}

/** Returns the number in the id of a row's notification. */
export function numberOf(row: Buffer): number {
  return Number(row.toString('latin1', 15, 22))
}

/** Returns the outcome of a call: of five calls, two are given back or fail. */
function anyOutcome(): CallOutcome {
  const value = Math.floor(Math.random() * 5)
  if (value === 0) return { status: 'unsent' }
  return value === 1 ? { status: 'retry', at: Date.now() + 10 } : { status: 'done' }
}

/** Uses a store without pause until the process is killed: publishes with keys and options, marks, answers, acks, retractions, sweeps. */
async function main(folder: string, first: number): Promise<void> {
  const store = new EmbeddedStore({ folder, settings: chaosSettings, cacheBytes: 100_000 })
  await store.open('child', { wake() {}, kick() {}, suspect() {}, status() {} })
  const report = (answered: Answered): void => {
    process.send?.(answered)
  }

  async function publisher(user: string, lane: number): Promise<void> {
    for (let number = first + lane; ; number += 4) {
      const options = optionsOf(number, Date.now())
      const result = await store.publish({ user, id: idOf(number), keyed: true, tail: tailOf(number), halfLife: 0, options })
      report({ op: 'publish', user, number, offset: result.status === 'accepted' ? result.offset : undefined, options })
    }
  }

  async function reader(user: string): Promise<void> {
    for (let round = 0; ; round++) {
      await pause(3)
      const page = await store.inbox({ user, states: ['unread'], before: undefined, limit: 5 })
      const items = page === 'restarted' ? [] : page.items
      const numbers = items.map(({ row }) => numberOf(row))
      const [one, ...others] = numbers
      if (one === undefined) continue
      await Promise.all(numbers.filter((number) => number % 10 === 9).map((number) => answer(user, number)))
      await store.mark({ user, target: { ids: others.map((number) => idOf(number)) }, state: 'read' })
      report({ op: 'mark', user, numbers: others, state: 'read' })
      const { head } = await store.queue(user)
      await store.ack(user, 'phone', head)
      report({ op: 'ack', user, offset: head.offset })
      if (round % 5 === 0) report({ op: 'retract', user, number: one, result: await store.retract(user, idOf(one), 'chaos') })
    }
  }

  /** Two devices answer at once. */
  async function answer(user: string, number: number): Promise<void> {
    const results = await Promise.all([
      store.answer({ user, id: idOf(number), action: 'approve', deviceId: 'phone' }),
      store.answer({ user, id: idOf(number), action: 'reject', deviceId: 'tablet' })
    ])
    for (const result of results) if ('answer' in result) report({ op: 'answer', user, number, answer: result.answer })
  }

  async function courier(user: string): Promise<void> {
    await store.outbox.putSubscription(user, subscriptionOf(user))
    for (;;) {
      await pause(2)
      for (const call of (await store.outbox.lease({ lane: 'webhook', limit: 5, user })).calls) {
        const { epoch, no, madeAt, attempt } = call
        const outcome = anyOutcome()
        report({ op: 'lease', user, number: notificationOf(call), no, attempt, outcome: outcome.status })
        await store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome })
        report({ op: 'settle', user, no })
      }
    }
  }

  async function sweeper(): Promise<void> {
    for (;;) {
      await pause(5)
      await store.sweep()
    }
  }

  await Promise.all([
    ...chaosUsers.flatMap((user) => [0, 1, 2, 3].map((lane) => publisher(user, lane))),
    ...chaosUsers.map(reader),
    ...chaosUsers.flatMap((user) => [courier(user), courier(user)]),
    sweeper()
  ])
}

if (process.argv[3] !== undefined) await main(process.argv[2] as string, Number(process.argv[3]))
