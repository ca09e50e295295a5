import { rowKind, rowTime } from '../../services/store/row.ts'
import { advanced, idOf, numbers, texts } from './stage.ts'
import type { Example } from './store.ts'

export const scheduling: Example[] = [
  {
    name: 'a scheduled notification is published at its time, as if it were sent then',
    run: async (t, stage) => {
      const deliverAt = stage.clock.now + 5000
      t.same(await stage.send(1, { options: { deliverAt } }), { status: 'scheduled', deliverAt, replayed: false })
      t.match(await stage.store.find(stage.user, idOf(1)), { in: 'scheduled', deliverAt })
      t.match(await stage.store.queue(stage.user), { scheduled: 1, parked: 0, unread: 0, head: { offset: 0 } })
      stage.clock.advance(4999)
      t.match(await stage.store.advance(stage.user), { delivered: 0, waiting: 1, nextAt: deliverAt })
      stage.clock.advance(1)
      t.same(await stage.store.advance(stage.user), advanced({ delivered: 1 }))
      const { rows, unread } = await stage.log()
      t.same(numbers(rows), [1])
      t.equal(rowTime(rows[0] as Buffer), deliverAt)
      t.equal(unread, 1)
    }
  },
  {
    name: 'a time of delivery that has passed means now',
    run: async (t, stage) => {
      t.match(await stage.send(1, { options: { deliverAt: stage.clock.now } }), { status: 'accepted', offset: 1 })
    }
  },
  {
    name: 'notifications are delivered in order of time, then of publish, and the rate counts from the delivery',
    run: async (t, stage) => {
      const { now } = stage.clock
      await stage.send(1, { options: { deliverAt: now + 3000 } })
      for (const number of [2, 3, 4, 5]) await stage.send(number, { options: { deliverAt: now + 2000 } })
      stage.clock.advance(2000)
      t.match(await stage.store.advance(stage.user), { delivered: 4, waiting: 2 })
      t.match(await stage.store.queue(stage.user), { parked: 1, scheduled: 1, head: { offset: 3 } })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.same(numbers((await stage.log()).rows), [2, 3, 4, 5, 1])
    }
  },
  {
    name: '`scheduledMax` notifications may be scheduled; one more is refused until the next delivery',
    settings: { scheduledMax: 2 },
    run: async (t, stage) => {
      const { now } = stage.clock
      await stage.send(1, { options: { deliverAt: now + 3000 } })
      await stage.send(2, { options: { deliverAt: now + 2000, collapseKey: 'k' } })
      t.same(await stage.send(3, { options: { deliverAt: now + 9000 } }), { status: 'scheduledFull', retryAfterMs: 2000 })
      t.match(await stage.send(4, { options: { deliverAt: now + 9000, collapseKey: 'k' } }), { status: 'scheduled' })
      t.match(await stage.store.queue(stage.user), { scheduled: 2 })
    }
  },
  {
    name: 'a scheduled notification replaces an older scheduled one of its collapse key at once, and the one in the log when it is delivered',
    run: async (t, stage) => {
      const { now } = stage.clock
      const collapseKey = 'k'
      await stage.send(1, { options: { collapseKey } })
      await stage.send(2, { options: { collapseKey, deliverAt: now + 2000 } })
      await stage.send(3, { options: { collapseKey, deliverAt: now + 1000 } })
      t.match(await stage.store.queue(stage.user), { scheduled: 1, unread: 1 })
      stage.clock.advance(1000)
      t.match(await stage.store.advance(stage.user), { delivered: 1, waiting: 0 })
      const { rows, unread } = await stage.log()
      t.same(rows.map(rowKind), ['x', 'n'])
      t.match(texts(rows)[1], `"replaces":"${idOf(1)}"`)
      t.equal(unread, 1)
    }
  },
  {
    name: 'a retry resolves with the first time of delivery, also if the notification was replaced; after the delivery, with its place in the log',
    run: async (t, stage) => {
      const { now } = stage.clock
      const one = { collapseKey: 'k', deliverAt: now + 2000 }
      const two = { collapseKey: 'k', deliverAt: now + 3000 }
      await stage.send(1, { keyed: true, options: one })
      await stage.send(2, { keyed: true, options: two })
      t.same(await stage.send(1, { keyed: true, options: one }), { status: 'scheduled', deliverAt: now + 2000, replayed: true })
      t.same(await stage.send(2, { keyed: true, options: two }), { status: 'scheduled', deliverAt: now + 3000, replayed: true })
      t.same(await stage.send(1, { keyed: true, body: 1, options: one }), { status: 'conflict' })
      stage.clock.advance(3000)
      await stage.store.advance(stage.user)
      t.match(await stage.send(1, { keyed: true, options: one }), { status: 'accepted', offset: 1, replayed: true })
      t.match(await stage.send(2, { keyed: true, options: two }), { status: 'accepted', offset: 1, replayed: true })
    }
  },
  {
    name: 'a recall cancels the delivery',
    run: async (t, stage) => {
      const options = { deliverAt: stage.clock.now + 1000 }
      await stage.send(1, { keyed: true, options })
      t.equal(await stage.store.retract(stage.user, idOf(1), 'recalled'), 'unscheduled')
      t.equal(await stage.store.retract(stage.user, idOf(1), 'recalled'), 'unknown')
      t.same(await stage.send(1, { keyed: true, options }), { status: 'recalled', replayed: true })
      stage.clock.advance(1000)
      t.match(await stage.store.advance(stage.user), { delivered: 0, nextAt: 0 })
    }
  },
  {
    name: 'a recall of only what is scheduled leaves what is delivered or parked',
    settings: { rateLimit: 1 },
    run: async (t, stage) => {
      const { store, user } = stage
      const cancel = (number: number) => store.retract(user, idOf(number), 'recalled', undefined, 'scheduled')
      const options = { deliverAt: stage.clock.now + 1000 }
      await stage.send(1, { keyed: true, options })
      await stage.send(2, { keyed: true, options })
      await stage.send(3, { keyed: true, options })
      t.equal(await cancel(3), 'unscheduled')
      t.equal(await cancel(3), 'unknown')
      t.same(await stage.send(3, { keyed: true, options }), { status: 'recalled', replayed: true })
      stage.clock.advance(1000)
      t.match(await store.advance(user), { delivered: 2 })
      const { head, parked } = await store.queue(user)
      t.same([head.offset, parked], [1, 1])
      for (const number of [1, 2, 4]) t.equal(await cancel(number), 'unknown', String(number))
      t.match(await store.queue(user), { head, parked })
      t.equal(await store.retract(user, idOf(2), 'recalled'), 'unparked')
    }
  },
  {
    name: 'a scheduled notification that expires before a step delivers it is removed without a row',
    run: async (t, stage) => {
      const { now } = stage.clock
      await stage.send(1, { options: { deliverAt: now + 1000, expiresAt: now + 2000 } })
      stage.clock.advance(2000)
      t.match(await stage.store.advance(stage.user), { delivered: 0, expired: 1, waiting: 0 })
      t.match(await stage.store.queue(stage.user), { head: { offset: 0 }, scheduled: 0 })
    }
  },
  {
    name: 'a delivery waits while `parkedMax` are parked',
    run: async (t, stage) => {
      const { now } = stage.clock
      await stage.send(1, { options: { deliverAt: now + 100 } })
      await stage.fill(2, 4)
      for (const number of [5, 6, 7, 8]) await stage.send(number)
      stage.clock.advance(100)
      t.match(await stage.store.advance(stage.user), { delivered: 0, waiting: 5, nextAt: now + 1000 })
      stage.clock.advance(900)
      t.match(await stage.store.advance(stage.user), { delivered: 0, released: 3 })
      t.match(await stage.store.advance(stage.user), { delivered: 1, waiting: 2 })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.same(numbers((await stage.log()).rows), [2, 3, 4, 5, 6, 7, 8, 1])
    }
  },
  {
    name: 'scheduled notifications are listed in pages, in order of delivery',
    run: async (t, stage) => {
      const { now } = stage.clock
      await stage.send(1, { options: { deliverAt: now + 3000 } })
      await stage.send(2, { options: { deliverAt: now + 1000 } })
      await stage.send(3, { options: { deliverAt: now + 3000 } })
      const first = await stage.store.scheduled({ user: stage.user, after: undefined, limit: 2 })
      t.same(numbers(first.items.map(({ row }) => row)), [2, 1])
      t.same(
        first.items.map(({ deliverAt }) => deliverAt),
        [now + 1000, now + 3000]
      )
      const second = await stage.store.scheduled({ user: stage.user, after: first.next, limit: 2 })
      t.same(numbers(second.items.map(({ row }) => row)), [3])
      t.equal(second.next, undefined)
    }
  },
  {
    name: 'a sweep delivers what is due after a restart',
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      await stage.send(1, { options: { deliverAt: stage.clock.now + 1000 } })
      await stage.restart()
      stage.clock.advance(3001)
      const { delivered } = await stage.store.sweep()
      t.ok(delivered >= 1)
      t.same(numbers((await stage.log()).rows), [1])
    }
  },
  {
    name: 'parked notifications are released by urgency, then in publish order',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      const { now } = stage.clock
      t.match(await stage.send(4, { keyed: true }), { status: 'parked', releaseAt: now + 1000 })
      await stage.send(5, { options: { level: -2 } })
      await stage.send(6, { options: { level: -1 } })
      await stage.send(7, { options: { level: 1 } })
      t.match(await stage.send(8, { options: { level: 1 } }), { status: 'full' })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.same(numbers((await stage.log()).rows), [1, 2, 3, 7, 4, 6, 5])
    }
  }
]
