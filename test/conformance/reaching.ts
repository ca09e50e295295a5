import type { LeasedCall, ReachRule, WebhookEvent } from '../../services/store/store.ts'
import { calledAfter, LEASE_MS, leased, receive, settled, subscribe, subscriptionOf } from './reach-stage.ts'
import { idOf, marked, numbers } from './stage.ts'
import type { Example } from './store.ts'

const webhookEvents: WebhookEvent[] = ['notification.fallback', 'notification.answered', 'notification.expired']
const settings = { rateLimit: 0, push: { afterMs: 3000, unless: 'delivered' } satisfies ReachRule, webhookEvents }
const fallback: ReachRule = { afterMs: 60_000, unless: 'read' }

export const reaching: Example[] = [
  {
    name: 'a device has one push subscription, and a user twenty; one more is refused',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      t.same(await store.outbox.subscriptions(user), [])
      t.equal(await store.outbox.deleteSubscription(user, 'phone'), false)
      const names = Array.from({ length: 20 }, (_, index) => `device ${String(index).padStart(2, '0')} "ü"`)
      for (const name of [...names].reverse()) await subscribe(t, stage, name)
      t.equal(await store.outbox.putSubscription(user, subscriptionOf('one more')), 'full')
      const changed = { ...subscriptionOf(names[3] as string), endpoint: 'https://push.test/other', expirationTime: 1_800_000_000_000 }
      t.equal(await stage.other.outbox.putSubscription(user, changed), 'kept')
      const kept = names.map((name) => subscriptionOf(name))
      kept[3] = changed
      t.same(await store.outbox.subscriptions(user), kept)
      t.equal(await store.outbox.deleteSubscription(user, names[0] as string), true)
      t.equal(await store.outbox.putSubscription(user, subscriptionOf('one more')), 'kept')
      t.equal((await store.outbox.subscriptions(user)).length, 20)
    }
  },
  {
    name: 'a notification that no device has received is pushed to each subscription, once, after the time of the settings',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      const phone = await subscribe(t, stage)
      const desk = await subscribe(t, stage, 'desk', 'mozilla')
      const { now } = stage.clock
      const result = await stage.send(1)
      t.match(result, { status: 'accepted', offset: 1, checkAt: now + 3000 })
      t.match(await store.advance(user), { checked: 0, called: 0, nextAt: now + 3000, lanes: [] })
      stage.clock.advance(2999)
      t.match(await store.advance(user), { checked: 0, called: 0 })
      stage.clock.advance(1)
      t.same(await store.advance(user), {
        released: 0,
        folded: 0,
        delivered: 0,
        expired: 0,
        checked: 1,
        called: 2,
        dropped: 0,
        waiting: 0,
        nextAt: 0,
        lanes: ['fcm', 'mozilla']
      })
      t.match(await store.advance(user), { checked: 0, called: 0 })
      const [call, ...more] = await leased(stage)
      t.same(more, [])
      const item = { offset: 1, state: 'unread', answer: undefined }
      t.match(call, {
        user,
        event: 'push',
        lane: 'fcm',
        attempt: 1,
        dueAt: now + 3000,
        madeAt: now + 3000,
        subscription: phone,
        item,
        unread: 1
      })
      t.same(numbers(call?.event === 'push' ? [call.item.row] : []), [1])
      t.match(await leased(stage, 'mozilla'), [{ event: 'push', subscription: desk }])
      t.same(await leased(stage, 'webhook'), [])
    }
  },
  {
    name: 'nothing is pushed without a subscription, with `push: false`, or when a device has received the notification',
    settings,
    run: async (t, stage) => {
      await stage.send(1)
      await subscribe(t, stage)
      await stage.send(2, { options: { push: false } })
      t.same(await calledAfter(stage, 3000), [])
      await stage.attach({ at: 'device' })
      await stage.send(3)
      stage.clock.advance(2999)
      await receive(stage)
      t.same(await calledAfter(stage, 1), [])
      stage.clock.advance(60_000)
      t.match(await stage.store.advance(stage.user), { checked: 0, nextAt: 0 })
    }
  },
  {
    name: 'a notification says itself when it is pushed, and unless what',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      await stage.attach({ at: 'device' })
      const checkAt = stage.clock.now
      t.match(await stage.send(1, { options: { push: { afterMs: 0, unless: 'delivered' } } }), { checkAt })
      await stage.send(2, { options: { push: { afterMs: 5000, unless: 'seen' } } })
      await stage.send(3, { options: { push: { afterMs: 5000, unless: 'read' } } })
      t.match(await calledAfter(stage, 0), [{ item: { offset: 1 } }])
      await receive(stage)
      await marked(store, { user, target: { ids: [idOf(3)] }, state: 'seen' })
      const states = (await calledAfter(stage, 5000)).map((call) => (call.event === 'push' ? `${call.item.offset} ${call.item.state}` : ''))
      t.same(states.sort(), ['2 unread', '3 seen'])
    }
  },
  {
    name: 'marking a notification in time leaves nothing to check for',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      for (const number of [1, 2, 3, 4]) await stage.send(number, { options: { fallback, push: { afterMs: 100, unless: 'delivered' } } })
      await marked(store, { user, target: { ids: [idOf(1)] }, state: 'seen' })
      await marked(store, { user, target: { ids: [idOf(2)] }, state: 'read' })
      await marked(store, { user, target: { ids: [idOf(3)] }, state: 'archived' })
      t.match(await calledAfter(stage, 100), [{ item: { offset: 4 } }])
      t.match(await calledAfter(stage, 60_000, 'webhook'), [{ item: { offset: 1 } }, { item: { offset: 4 } }])
    }
  },
  {
    name: 'a fallback tells once that nobody has read a notification, with the state and the devices',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await stage.attach({ at: 'device' })
      const { now } = stage.clock
      t.match(await stage.send(1, { options: { fallback } }), { status: 'accepted', checkAt: now + 60_000 })
      await receive(stage)
      await stage.attach({ at: 'earliest' }, { deviceId: 'desk' })
      await stage.send(2)
      await receive(stage)
      await marked(store, { user, target: { ids: [idOf(1)] }, state: 'seen' })
      stage.clock.advance(60_000)
      t.match(await store.advance(user), { checked: 1, called: 1, lanes: ['webhook'], nextAt: 0 })
      const [call, ...more] = await leased(stage, 'webhook')
      t.same(more, [])
      const devices = [
        { deviceId: 'desk', received: false },
        { deviceId: 'phone', received: true, at: now }
      ]
      t.match(call, { user, event: 'notification.fallback', lane: 'webhook', attempt: 1, item: { offset: 1, state: 'seen' }, devices })
      t.match(await store.advance(user), { checked: 0, called: 0 })
    }
  },
  {
    name: 'a parked and a scheduled notification are checked from when they are in the log',
    settings: { ...settings, rateLimit: 1 },
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      const { now } = stage.clock
      await stage.send(1, { options: { push: false } })
      t.match(await stage.send(2, { options: { push: { afterMs: 500, unless: 'delivered' }, fallback } }), { status: 'parked' })
      await stage.send(3, { options: { deliverAt: now + 10_000, push: false, fallback, level: -1, collapseKey: 'k "1' } })
      await stage.send(4, { options: { deliverAt: now + 20_000, push: false } })
      stage.clock.advance(1000)
      t.match(await store.advance(user), { released: 1, checked: 0, nextAt: now + 1500 })
      t.match(await calledAfter(stage, 500), [{ dueAt: now + 1500, item: { offset: 2 } }])
      stage.clock.advance(8500)
      t.match(await store.advance(user), { delivered: 1, nextAt: now + 20_000 })
      stage.clock.advance(10_000)
      t.match(await store.advance(user), { delivered: 1, nextAt: now + 61_000 })
      t.match(await calledAfter(stage, 41_000, 'webhook'), [{ dueAt: now + 61_000, item: { offset: 2 } }])
      t.match(await calledAfter(stage, 9000, 'webhook'), [{ dueAt: now + 70_000, item: { offset: 3 } }])
    }
  },
  {
    name: 'what is retracted, replaced, expired, answered or trimmed is not checked',
    settings: { ...settings, webhookEvents: ['notification.fallback'] },
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      const expiresAt = stage.clock.now + 1000
      await stage.send(1, { options: { fallback } })
      await stage.send(2, { options: { fallback, collapseKey: 'k' } })
      await stage.send(3, { options: { fallback, expiresAt } })
      await stage.send(4, { options: { fallback, actions: ['yes'] } })
      await stage.send(5, { options: { collapseKey: 'k', push: false } })
      await store.retract(user, idOf(1), 'recalled')
      await store.answer({ user, id: idOf(4), action: 'yes', deviceId: 'phone' })
      stage.clock.advance(1000)
      t.match(await store.advance(user), { expired: 1, checked: 0, nextAt: 0 })
      await stage.send(6, { options: { fallback } })
      for (let number = 7; number < 20; number++) await stage.send(number, { options: { push: false } })
      t.match(await store.advance(user), { nextAt: 0 })
      stage.clock.advance(60_000)
      t.match(await store.advance(user), { checked: 0, called: 0, nextAt: 0 })
      t.same([...(await leased(stage)), ...(await leased(stage, 'webhook'))], [])
    }
  },
  {
    name: 'the first answer is told of, in the step that gives it',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await stage.send(1, { options: { actions: ['yes', 'no'] } })
      const answeredAt = stage.clock.now
      const deviceId = 'phone "ü" \\'
      for (const action of ['yes', 'no', 'yes']) await store.answer({ user, id: idOf(1), action, deviceId })
      const [call, ...more] = await leased(stage, 'webhook')
      t.same(more, [])
      t.match(call, { event: 'notification.answered', lane: 'webhook', attempt: 1, dueAt: answeredAt })
      t.equal(dataOf(call), `{"id":"${idOf(1)}","action":"yes","answeredAt":${answeredAt},"deviceId":"phone \\"ü\\" \\\\"}`)
      t.match(await store.retract(user, idOf(1), 'recalled'), 'retracted')
      stage.clock.advance(LEASE_MS)
      t.match(await leased(stage, 'webhook'), [{ event: 'notification.answered', attempt: 2 }])
    }
  },
  {
    name: 'an expiry is told of if no device has received the notification',
    settings: { ...settings, rateLimit: 3 },
    run: async (t, stage) => {
      const { user, store } = stage
      const { now } = stage.clock
      await stage.attach({ at: 'device' })
      await stage.send(1, { options: { expiresAt: now + 1000 } })
      await receive(stage)
      const tail = '"type":"a \\"quoted\\" \\\\","title":"\\"type\\":\\"b\\"","timestamp":1}'
      await store.publish({ user, id: idOf(2), keyed: false, tail, halfLife: 0, options: { expiresAt: now + 500, collapseKey: 'k' } })
      await stage.send(3, { options: { expiresAt: now + 5000, collapseKey: 'k' } })
      await stage.send(4, { options: { expiresAt: now + 900 } })
      await stage.send(5, { options: { deliverAt: now + 800, expiresAt: now + 950 } })
      stage.clock.advance(999)
      await store.queue(user)
      t.same((await leased(stage, 'webhook')).map(dataOf), [`{"id":"${idOf(4)}","type":"t"}`, `{"id":"${idOf(5)}","type":"t"}`])
      await store.publish({ user, id: idOf(6), keyed: false, tail, halfLife: 0, options: { expiresAt: now + 6000 } })
      stage.clock.advance(5001)
      t.match(await store.advance(user), { expired: 3, called: 2, lanes: ['webhook'] })
      const told = (await leased(stage, 'webhook')).map(dataOf)
      t.same(told, [`{"id":"${idOf(3)}","type":"t"}`, `{"id":"${idOf(6)}","type":"a \\"quoted\\" \\\\"}`])
    }
  },
  {
    name: 'nothing is told of that no webhook is for, and nothing is pushed without the setting',
    settings: { rateLimit: 0 },
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      const result = await stage.send(1, { options: { fallback, push: { afterMs: 0, unless: 'read' }, actions: ['yes'] } })
      t.match(result, { status: 'accepted' })
      t.notOk('checkAt' in result)
      await stage.send(2, { options: { expiresAt: stage.clock.now + 1 } })
      await store.answer({ user, id: idOf(1), action: 'yes', deviceId: 'phone' })
      stage.clock.advance(60_000)
      t.match(await store.advance(user), { checked: 0, called: 0, nextAt: 0 })
      t.same([...(await leased(stage)), ...(await leased(stage, 'webhook'))], [])
    }
  },
  {
    name: 'a call is leased to one node; when the lease runs out it is due again, with its number',
    settings,
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { fallback } })
      const [call] = await calledAfter(stage, 60_000, 'webhook')
      const lease = { lane: 'webhook', limit: 10, user }
      t.same(await stage.other.outbox.lease(lease), { calls: [], dropped: 0 })
      stage.clock.advance(LEASE_MS - 1)
      t.same(await stage.other.outbox.lease(lease), { calls: [], dropped: 0 })
      stage.clock.advance(1)
      const [again, ...more] = (await stage.other.outbox.lease(lease)).calls
      t.same(more, [])
      t.same(again, { ...call, attempt: 2, dueAt: stage.clock.now })
      t.same((await stage.store.outbox.lease(lease)).calls, [])
    }
  },
  {
    name: 'a settled call is not leased again, and a retry is due at its time',
    settings,
    run: async (t, stage) => {
      await stage.send(1, { options: { fallback } })
      await stage.send(2, { options: { fallback } })
      const [one, two] = (await calledAfter(stage, 60_000, 'webhook')) as [LeasedCall, LeasedCall]
      t.not(one.no, two.no)
      t.equal(await settled(stage, one, { status: 'done' }), true)
      t.equal(await settled(stage, one, { status: 'done' }), false)
      const at = stage.clock.now + 5000
      t.equal(await settled(stage, two, { status: 'retry', at }), true)
      stage.clock.advance(4999)
      t.same(await leased(stage, 'webhook'), [])
      stage.clock.advance(1)
      const [again, ...more] = (await leased(stage, 'webhook')) as [LeasedCall]
      t.same(more, [])
      t.same(again, { ...two, attempt: 2, dueAt: at })
      t.equal(await settled(stage, again, { status: 'givenUp' }), true)
      stage.clock.advance(LEASE_MS)
      t.same(await leased(stage, 'webhook'), [])
    }
  },
  {
    name: 'of a lease that ran out only a success counts once the call was leased again',
    settings,
    run: async (t, stage) => {
      await stage.send(1, { options: { fallback } })
      const [late] = (await calledAfter(stage, 60_000, 'webhook')) as [LeasedCall]
      stage.clock.advance(LEASE_MS)
      const [call] = (await leased(stage, 'webhook')) as [LeasedCall]
      t.equal(await settled(stage, late, { status: 'retry', at: stage.clock.now }), false)
      t.equal(await settled(stage, late, { status: 'givenUp' }), false)
      t.same(await leased(stage, 'webhook'), [])
      t.equal(await settled(stage, { ...call, epoch: 'other1' }, { status: 'done' }), false)
      t.equal(await settled(stage, late, { status: 'done' }), true)
      stage.clock.advance(LEASE_MS)
      t.same(await leased(stage, 'webhook'), [])
    }
  },
  {
    name: 'a call whose reason no longer holds is dropped when it is to be leased',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      const options = { fallback: { afterMs: 3000, unless: 'read' } satisfies ReachRule, actions: ['yes'] }
      for (const number of [1, 2, 3, 4, 5]) await stage.send(number, { options })
      stage.clock.advance(3000)
      t.match(await store.advance(user), { called: 10, lanes: ['fcm', 'webhook'] })
      await store.retract(user, idOf(1), 'recalled')
      await store.answer({ user, id: idOf(2), action: 'yes', deviceId: 'phone' })
      await marked(store, { user, target: { ids: [idOf(3)] }, state: 'read' })
      await marked(store, { user, target: { ids: [idOf(4)] }, state: 'seen' })
      const pushes = await store.outbox.lease({ lane: 'fcm', limit: 100, user })
      t.match(pushes, { dropped: 4, calls: [{ item: { offset: 5 } }] })
      t.equal(pushes.calls.length, 1)
      const webhooks = await store.outbox.lease({ lane: 'webhook', limit: 100, user })
      const told = webhooks.calls.map((call) => (call.event === 'notification.fallback' ? call.item.offset : call.event))
      t.same(told, [4, 5, 'notification.answered'])
      t.equal(webhooks.dropped, 3)
      await marked(store, { user, target: { ids: [idOf(5)] }, state: 'read' })
      stage.clock.advance(LEASE_MS)
      t.match(await store.outbox.lease({ lane: 'fcm', limit: 100, user }), { calls: [], dropped: 1 })
    }
  },
  {
    name: 'a lease hands out as many calls as it asks for, those first that have been due longest',
    settings,
    run: async (t, stage) => {
      for (const number of [1, 2, 3]) await stage.send(number, { options: { fallback: { afterMs: (4 - number) * 1000, unless: 'read' } } })
      for (let n = 0; n < 3; n++) {
        stage.clock.advance(1000)
        await stage.store.advance(stage.user)
      }
      const offsets = (calls: LeasedCall[]): number[] =>
        calls.map((call) => (call.event === 'notification.fallback' ? call.item.offset : 0))
      t.same(offsets(await leased(stage, 'webhook', 2)), [3, 2])
      t.same(offsets(await leased(stage, 'webhook', 2)), [1])
    }
  },
  {
    name: 'a lease of a lane finds the users with calls in it, and no others',
    settings,
    alone: true,
    run: async (t, stage) => {
      const { store, clock } = stage
      const users = Array.from({ length: 40 }, (_, index) => `user ${index} of the lane`)
      for (const [index, user] of users.entries()) {
        await store.outbox.putSubscription(user, subscriptionOf('phone', index % 2 === 0 ? 'fcm' : 'mozilla'))
        await store.publish({ ...stage.command(index), user })
      }
      clock.advance(3000)
      for (const user of users) await stage.other.advance(user)
      clock.advance(3000)
      const first = await store.outbox.lease({ lane: 'fcm', limit: 15 })
      const second = await store.outbox.lease({ lane: 'fcm', limit: 15 })
      t.equal(first.calls.length, 15)
      t.equal(second.calls.length, 5)
      const even = users.filter((_, index) => index % 2 === 0)
      t.same([...first.calls, ...second.calls].map(({ user }) => user).sort(), even.sort())
      t.same((await store.outbox.lease({ lane: 'fcm', limit: 15 })).calls, [])
      t.same((await store.outbox.lease({ lane: 'apple', limit: 15 })).calls, [])
      t.equal((await store.outbox.lease({ lane: 'mozilla', limit: 100 })).calls.length, 20)
    }
  },
  {
    name: 'a subscription that is gone is removed with its calls, unless the device has another endpoint by now',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      // A browser may tell a time with a fraction.
      const { endpoint } = subscriptionOf('phone')
      await store.outbox.putSubscription(user, { ...subscriptionOf('phone'), expirationTime: 1_800_000_000_000.5 })
      await subscribe(t, stage, 'desk')
      for (const number of [1, 2]) await stage.send(number)
      const [one, two] = (await calledAfter(stage, 3000)) as [LeasedCall, LeasedCall, LeasedCall, LeasedCall]
      t.equal(one.event === 'push' && two.event === 'push' && one.subscription.deviceId, 'desk')
      const phone = (await stage.store.outbox.subscriptions(user)).find(({ deviceId }) => deviceId === 'phone')
      t.equal(phone?.endpoint, endpoint)
      const renewed = { ...subscriptionOf('desk'), endpoint: 'https://push.test/renewed' }
      await store.outbox.putSubscription(user, renewed)
      const goneOfDesk = { status: 'gone', endpoint: subscriptionOf('desk').endpoint } as const
      t.equal(await settled(stage, one, goneOfDesk), true)
      t.equal((await store.outbox.subscriptions(user)).length, 2)
      const [again, ...others] = (await leased(stage)) as [LeasedCall]
      t.match(
        again,
        { no: one.no, attempt: 2, subscription: { endpoint: renewed.endpoint } },
        'the push is due at once, for the newer endpoint'
      )
      t.same(others, [])
      t.equal(await settled(stage, one, goneOfDesk), false, 'told again')
      t.same(await leased(stage), [])
      await stage.send(3)
      stage.clock.advance(LEASE_MS)
      await store.advance(user)
      const calls = await leased(stage)
      const names = calls.map((call) => (call.event === 'push' ? `${call.item.offset} ${call.subscription.endpoint}` : ''))
      t.same(names.sort(), [
        `1 ${endpoint}`,
        `1 ${renewed.endpoint}`,
        `2 ${endpoint}`,
        `2 ${renewed.endpoint}`,
        `3 ${endpoint}`,
        `3 ${renewed.endpoint}`
      ])
      const call = calls.find((call) => call.event === 'push' && call.subscription.deviceId === 'phone') as LeasedCall
      t.equal(await settled(stage, call, { status: 'gone', endpoint }), true)
      t.same(await store.outbox.subscriptions(user), [renewed])
      stage.clock.advance(LEASE_MS)
      t.equal((await leased(stage)).length, 3)
    }
  },
  {
    name: 'calls that wait follow their device to another lane, and end with its subscription',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      await stage.send(1)
      stage.clock.advance(3000)
      await store.advance(user)
      await subscribe(t, stage, 'phone', 'apple')
      t.same(await leased(stage, 'fcm'), [])
      t.equal((await leased(stage, 'apple')).length, 1)
      await store.outbox.deleteSubscription(user, 'phone')
      stage.clock.advance(LEASE_MS)
      t.same(await store.outbox.lease({ lane: 'apple', limit: 9, user }), { calls: [], dropped: 0 })
    }
  },
  {
    name: 'expiries at one time are told in the order of the log, then of the publishes, whatever waits for what',
    settings: { ...settings, rateLimit: 1 },
    run: async (t, stage) => {
      const { clock, store } = stage
      const expiresAt = clock.now + 500
      await stage.send(1, { options: { expiresAt } })
      await stage.send(2, { options: { expiresAt, deliverAt: clock.now + 400 } })
      await stage.send(3, { options: { expiresAt, level: -1 } })
      await stage.send(4, { options: { expiresAt, deliverAt: clock.now + 300 } })
      await stage.send(5, { options: { expiresAt, level: 1 } })
      await stage.send(6, { options: { expiresAt: expiresAt - 1, deliverAt: clock.now + 450 } })
      clock.advance(500)
      t.match(await store.advance(stage.user), { expired: 6 })
      const told = (await leased(stage, 'webhook')).map((call) => JSON.parse(dataOf(call)).id)
      t.same(
        told,
        [6, 1, 2, 3, 4, 5].map((number) => idOf(number))
      )
    }
  },
  {
    name: 'nothing is owed after an erasure',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      await stage.send(1, { options: { actions: ['yes'], fallback } })
      await stage.send(2, { options: { fallback } })
      const [call] = (await calledAfter(stage, 3000)) as [LeasedCall]
      await store.answer({ user, id: idOf(1), action: 'yes', deviceId: 'phone' })
      await store.erase(user)
      t.same(await store.outbox.subscriptions(user), [])
      t.equal(await settled(stage, call, { status: 'retry', at: stage.clock.now }), false)
      stage.clock.advance(60_000)
      t.match(await store.advance(user), { checked: 0, called: 0, nextAt: 0 })
      const nothing = { calls: [], dropped: 0 }
      for (const lane of ['fcm', 'webhook']) t.same(await store.outbox.lease({ lane, limit: 100, user }), nothing)
      await subscribe(t, stage)
      await stage.send(1)
      const [again] = (await calledAfter(stage, 3000)) as [LeasedCall]
      t.not(again.epoch, call.epoch)
      t.equal(await settled(stage, call, { status: 'done' }), false)
    }
  },
  {
    name: 'a log that starts afresh drops the checks and the calls of its notifications, and keeps the subscriptions',
    settings,
    run: async (t, stage) => {
      const { user, store } = stage
      await subscribe(t, stage)
      await stage.send(1, { options: { fallback } })
      stage.clock.advance(3000)
      await store.advance(user)
      const { epoch } = await stage.log()
      const position = { epoch, offset: 1, id8: '' }
      await store.read({ user, position, seen: { epoch, offset: 5000 }, limit: 1 })
      stage.clock.advance(60_000)
      t.match(await store.advance(user), { checked: 0, called: 0, nextAt: 0 })
      t.same(await store.outbox.lease({ lane: 'fcm', limit: 9, user }), { calls: [], dropped: 1 })
      await stage.send(2)
      t.match(await calledAfter(stage, 3000), [{ item: { offset: 1 } }])
    }
  },
  {
    name: 'checks, calls and subscriptions survive a restart, and a sweep carries the checks out',
    settings,
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      const { user } = stage
      const subscription = await subscribe(t, stage)
      await stage.send(1, { options: { fallback, actions: ['yes'] } })
      await stage.send(2, { options: { deliverAt: stage.clock.now + 1000, fallback } })
      await stage.restart()
      stage.clock.advance(3501)
      t.match(await stage.store.sweep(), { delivered: 1, checked: 1, called: 1, lanes: ['fcm'] })
      await stage.restart()
      t.same(await stage.store.outbox.subscriptions(user), [subscription])
      stage.clock.advance(2501)
      const { calls } = await stage.store.outbox.lease({ lane: 'fcm', limit: 10 })
      t.match(calls, [{ user, attempt: 1, item: { offset: 1 }, subscription }])
      await stage.restart()
      t.same(await leased(stage), [])
      stage.clock.advance(LEASE_MS)
      const again = await leased(stage)
      t.match(again[0], { ...calls[0], attempt: 2, dueAt: stage.clock.now })
      await stage.restart()
      stage.clock.advance(60_000)
      t.match(await stage.store.sweep(), { checked: 3, called: 3, lanes: ['fcm', 'webhook'] })
      t.equal((await leased(stage, 'webhook')).length, 2)
    }
  },
  {
    name: 'a user has at most a thousand calls: one more drops the oldest',
    settings: { ...settings, maxEntries: 200 },
    long: true,
    run: async (t, stage) => {
      const { user, store } = stage
      for (let device = 0; device < 20; device++) await subscribe(t, stage, `device ${device}`)
      for (let number = 0; number < 51; number++) await stage.send(number)
      stage.clock.advance(3000)
      t.match(await store.advance(user), { checked: 51, called: 1020, dropped: 20 })
      const calls = await leased(stage, 'fcm', 2000)
      t.equal(calls.length, 1000)
      t.notOk(calls.some((call) => call.event === 'push' && call.item.offset === 1))
    }
  },
  {
    name: 'one advance carries out a bounded number of checks, and says that more are due',
    settings: { ...settings, maxEntries: 200 },
    long: true,
    run: async (t, stage) => {
      const { user, store } = stage
      for (let number = 0; number < 120; number++) await stage.send(number, { options: { fallback } })
      stage.clock.advance(60_000)
      t.match(await store.advance(user), { checked: 100, called: 100, nextAt: stage.clock.now })
      t.match(await store.advance(user), { checked: 20, called: 20, nextAt: 0 })
    }
  }
]

function dataOf(call: LeasedCall | undefined): string {
  return call?.event === 'notification.answered' || call?.event === 'notification.expired' ? call.data : ''
}
