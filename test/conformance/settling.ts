import type { CallReceipt, LeasedCall, ReachRule, WebhookEvent } from '../../services/store/store.ts'
import { calledAfter, LEASE_MS, leased, settled, subscribe, subscriptionOf } from './reach-stage.ts'
import { idOf, marked, type Stage } from './stage.ts'
import type { Example } from './store.ts'

const DAY_MS = 24 * 3600 * 1000
const webhookEvents: WebhookEvent[] = ['notification.fallback', 'notification.answered']
const settings = { rateLimit: 0, push: { afterMs: 3000, unless: 'delivered' } satisfies ReachRule, webhookEvents }
const fallback: ReachRule = { afterMs: 3000, unless: 'read' }

/** Returns the receipts of the calls for a notification in the log, as text. */
async function receipts(stage: Stage, number: number): Promise<string[] | undefined> {
  const found = await stage.store.find(stage.user, idOf(number))
  return found?.in === 'log' ? found.receipts.map(textOf) : undefined
}

function textOf({ event, deviceId, status, at }: CallReceipt): string {
  return `${event} ${deviceId} ${status} ${at}`
}

export const settling: Example[] = [
  {
    name: 'the receipts of a notification tell what became of its pushes and of its fallback',
    settings,
    run: async (t, stage) => {
      const { user, store, clock } = stage
      const [phone, desk] = ['phone "ü" 1', 'desk']
      for (const device of [phone, desk, 'tab']) await subscribe(t, stage, device)
      await stage.send(1, { options: { fallback } })
      t.same(await receipts(stage, 1), [], 'nothing is due')
      const calls = await calledAfter(stage, 3000)
      const madeAt = clock.now
      const waiting = (['desk', phone, 'tab'] as string[]).map((device) => `push ${device} waiting ${madeAt}`)
      t.same(await receipts(stage, 1), [`notification.fallback  waiting ${madeAt}`, ...waiting])
      const of = (device: string) => calls.find((call) => call.event === 'push' && call.subscription.deviceId === device) as LeasedCall
      clock.advance(10)
      await settled(stage, of(phone), { status: 'done' })
      await settled(stage, of('tab'), { status: 'gone', endpoint: subscriptionOf('tab').endpoint })
      await settled(stage, of('desk'), { status: 'retry', at: clock.now + 1000 })
      const [told] = (await leased(stage, 'webhook')) as [LeasedCall]
      clock.advance(10)
      await settled(stage, told, { status: 'givenUp' })
      const ended = [
        `notification.fallback  failed ${madeAt + 20}`,
        waiting[0],
        `push ${phone} sent ${madeAt + 10}`,
        `push tab gone ${madeAt + 10}`
      ]
      t.same(await receipts(stage, 1), ended)
      await marked(store, { user, target: { ids: [idOf(1)] }, state: 'read' })
      t.same(await calledAfter(stage, 1000), [])
      t.equal((await receipts(stage, 1))?.[1], `push desk dropped ${clock.now}`)
    }
  },
  {
    name: 'an outcome of a call that the store lost does not end the call that has its number now',
    settings,
    run: async (t, stage) => {
      await subscribe(t, stage)
      await stage.send(1)
      const [call] = (await calledAfter(stage, 3000)) as [LeasedCall]
      t.equal(await settled(stage, { ...call, madeAt: call.madeAt - 1 }, { status: 'done' }), false)
      t.equal((await receipts(stage, 1))?.[0]?.includes(' waiting '), true)
      t.equal(await settled(stage, call, { status: 'done' }), true)
    }
  },
  {
    name: 'receipts survive a restart',
    settings,
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      await subscribe(t, stage)
      await stage.send(1)
      const [call] = (await calledAfter(stage, 3000)) as [LeasedCall]
      await settled(stage, call, { status: 'done' })
      const before = await receipts(stage, 1)
      t.equal(before?.length, 1)
      await stage.restart()
      t.same(await receipts(stage, 1), before)
    }
  },
  {
    name: 'receipts leave the log with their notification, and a call that ends later leaves none',
    settings: { ...settings, maxEntries: 5 },
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      const options = { collapseKey: 'k' }
      await stage.send(1, { options })
      await stage.send(2)
      const [one, two] = (await calledAfter(stage, 3000)) as [LeasedCall, LeasedCall]
      await settled(stage, one, { status: 'done' })
      await stage.send(3, { options })
      await store.retract(user, idOf(2), 'recalled')
      await settled(stage, two, { status: 'done' })
      for (const number of [1, 2]) t.equal(await receipts(stage, number), undefined)
      for (let number = 4; number < 20; number++) await stage.send(number)
      const calls = await calledAfter(stage, 3000)
      for (const call of calls) await settled(stage, call, { status: 'done' })
      t.equal(calls.length, 5)
      t.equal((await receipts(stage, 19))?.length, 1)
      await store.erase(user)
      await subscribe(t, stage)
      for (const number of [1, 2, 19]) await stage.send(number)
      for (const number of [1, 2, 19]) t.same(await receipts(stage, number), [])
    }
  },
  {
    name: 'a call that was leased and not sent is due again at once, and the attempt does not count',
    settings,
    run: async (t, stage) => {
      await subscribe(t, stage)
      await stage.send(1)
      const [first] = (await calledAfter(stage, 3000)) as [LeasedCall]
      await settled(stage, first, { status: 'retry', at: stage.clock.now + 1000 })
      stage.clock.advance(1000)
      const [second] = (await leased(stage)) as [LeasedCall]
      t.equal(second.attempt, 2)
      stage.clock.advance(LEASE_MS / 2)
      t.equal(await settled(stage, second, { status: 'unsent' }), true)
      t.equal(await settled(stage, second, { status: 'unsent' }), false, 'told twice')
      t.match(await leased(stage), [{ ...second, dueAt: stage.clock.now }])
      t.same(await leased(stage), [])
      stage.clock.advance(LEASE_MS)
      const [third] = (await leased(stage)) as [LeasedCall]
      t.equal(third.attempt, 3, 'a lease that ran out counts')
      t.equal(await settled(stage, second, { status: 'unsent' }), false, 'the call was leased again')
      t.equal(await settled(stage, third, { status: 'unsent' }), true)
      t.same(await receipts(stage, 1), [`push phone waiting ${first.madeAt}`])
    }
  },
  {
    name: 'a call that nobody has leased for a week ends with the next call, or when rows are trimmed',
    settings: { ...settings, retentionMs: 8 * DAY_MS },
    run: async (t, stage) => {
      const { user, store, clock } = stage
      await subscribe(t, stage)
      await stage.send(1)
      clock.advance(3000)
      await store.advance(user)
      await subscribe(t, stage, 'phone', 'removed')
      clock.advance(7 * DAY_MS - 1)
      await stage.send(2, { options: { push: { afterMs: 0, unless: 'delivered' } } })
      await store.advance(user)
      t.match(await receipts(stage, 1), [/waiting/])
      clock.advance(1)
      await stage.send(3, { options: { push: { afterMs: 0, unless: 'delivered' } } })
      await store.advance(user)
      t.same(await receipts(stage, 1), [`push phone failed ${clock.now}`])
      clock.advance(7 * DAY_MS - 1)
      await store.advance(user)
      t.match(await receipts(stage, 3), [/waiting/])
      const { calls } = await store.outbox.lease({ lane: 'removed', limit: 9, user })
      t.match(calls, [{ attempt: 1, item: { offset: 3 } }], 'the other ended with the rows that were trimmed')
      clock.advance(LEASE_MS)
    }
  },
  {
    name: 'a user has at most a thousand receipts: one more removes those of the oldest notification',
    settings: { ...settings, maxEntries: 200 },
    long: true,
    run: async (t, stage) => {
      for (let device = 0; device < 20; device++) await subscribe(t, stage, `device ${device}`)
      for (let number = 0; number < 51; number++) {
        await stage.send(number)
        for (const call of await calledAfter(stage, 3000)) await settled(stage, call, { status: 'done' })
      }
      t.same(await receipts(stage, 0), [])
      t.equal((await receipts(stage, 1))?.length, 20)
      t.equal((await receipts(stage, 50))?.length, 20)
    }
  }
]
