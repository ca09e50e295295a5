import { rowKind } from '../../services/store/row.ts'
import { until } from '../fixtures/wait.ts'
import { advanced, idOf, marked, numbers, pageOf, texts } from './stage.ts'
import type { Example } from './store.ts'

export const expiring: Example[] = [
  {
    name: 'an expired notification is retracted with an `r` row and is found nowhere',
    run: async (t, stage) => {
      const expiresAt = stage.clock.now + 1000
      await stage.attach({ at: 'device' })
      await stage.send(1, { options: { expiresAt } })
      await stage.send(2)
      stage.clock.advance(999)
      t.same(await stage.store.advance(stage.user), advanced({ nextAt: expiresAt }))
      t.equal((await pageOf(stage.store, { user: stage.user, states: undefined, before: undefined, limit: 10 })).items.length, 2)
      stage.clock.advance(1)
      t.match(await stage.store.advance(stage.user), { expired: 1, nextAt: 0 })
      const { rows, unread } = await stage.log()
      t.same(rows.map(rowKind), ['x', 'n', 'r'])
      t.equal(unread, 1)
      t.match(texts(rows)[2], `1"id":"${idOf(1)}","reason":"expired","unread":1,"unseen":1}`)
      await until(() => stage.wakes().at(-1)?.offset === 3, 'the wake-up of the retraction')
      t.equal(await stage.store.find(stage.user, idOf(1)), undefined)
    }
  },
  {
    name: 'the inbox, a backlog and a count leave out expired notifications even if no step advanced the user',
    run: async (t, stage) => {
      const options = { expiresAt: stage.clock.now + 1000 }
      for (const number of [1, 2, 3]) await stage.send(number, { options })
      stage.clock.advance(1000)
      const page = await pageOf(stage.store, { user: stage.user, states: undefined, before: undefined, limit: 10 })
      t.same(page, { items: [], next: undefined, unread: 0, unseen: 0 })
      const { rows, unread } = await stage.attach({ at: 'earliest' })
      t.same(rows.map(rowKind), ['x', 'x', 'x', 'r', 'r', 'r'])
      t.equal(unread, 0)
      await stage.send(4)
      t.equal((await stage.store.queue(stage.user)).unread, 1)
    }
  },
  {
    name: 'notifications expire in order of time, then in the order of the log',
    run: async (t, stage) => {
      const { now } = stage.clock
      await stage.send(1, { options: { expiresAt: now + 2000 } })
      await stage.send(3, { options: { expiresAt: now + 1000 } })
      await stage.send(2, { options: { expiresAt: now + 1000 } })
      stage.clock.advance(2000)
      t.match(await stage.store.advance(stage.user), { expired: 3 })
      const { rows } = await stage.log()
      const retracted = texts(rows)
        .slice(3)
        .map((text) => /"id":"([^"]+)"/.exec(text)?.[1])
      t.same(retracted, [idOf(3), idOf(2), idOf(1)])
    }
  },
  {
    name: 'the order of the log is that of its offsets, not of their digits',
    settings: { rateLimit: 0 },
    run: async (t, stage) => {
      const expiring = { options: { expiresAt: stage.clock.now + 1000 } }
      for (let number = 1; number <= 11; number++) await stage.send(number, expiring)
      stage.clock.advance(1000)
      t.match(await stage.store.advance(stage.user), { expired: 11, nextAt: 0 })
      const { rows } = await stage.log()
      const retracted = texts(rows).flatMap((text) => /"id":"([^"]+)","reason"/.exec(text)?.[1] ?? [])
      t.same(
        retracted,
        Array.from({ length: 11 }, (_, index) => idOf(index + 1))
      )
    }
  },
  {
    name: 'the expiry of a read notification keeps the unread count and removes the state',
    run: async (t, stage) => {
      await stage.send(1, { options: { expiresAt: stage.clock.now + 1000 } })
      await stage.send(2)
      await marked(stage.store, { user: stage.user, target: { ids: [idOf(1)] }, state: 'read' })
      stage.clock.advance(1000)
      const { unread, states } = await stage.log()
      t.equal(unread, 1)
      t.equal(states.size, 0)
    }
  },
  {
    name: 'a parked notification that expires is removed without a row, and the next one moves up',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      t.match(await stage.send(4, { options: { expiresAt: stage.clock.now + 500 } }), { status: 'parked' })
      await stage.send(5)
      stage.clock.advance(500)
      t.match(await stage.store.queue(stage.user), { parked: 1, head: { offset: 3 } })
      t.equal(await stage.store.find(stage.user, idOf(4)), undefined)
      stage.clock.advance(500)
      t.match(await stage.store.advance(stage.user), { released: 1, expired: 0, waiting: 0 })
      t.same((await stage.log()).rows.map(rowKind), ['n', 'n', 'n', 'n'])
    }
  },
  {
    name: 'a parked notification keeps its expiry when it is released',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      const expiresAt = stage.clock.now + 5000
      await stage.send(4, { options: { expiresAt } })
      stage.clock.advance(1000)
      t.match(await stage.store.advance(stage.user), { released: 1, nextAt: expiresAt })
      stage.clock.advance(4000)
      t.match(await stage.store.advance(stage.user), { expired: 1 })
    }
  },
  {
    name: 'a notification that has expired is refused, except a retry, which resolves with its place',
    run: async (t, stage) => {
      const { now } = stage.clock
      t.same(await stage.send(1, { keyed: true, options: { expiresAt: now } }), { status: 'expired' })
      t.same(await stage.send(1, { options: { expiresAt: now - 1, collapseKey: 'k' } }), { status: 'expired' })
      t.match(await stage.store.queue(stage.user), { head: { epoch: '' } })
      t.match(await stage.send(1, { keyed: true, options: { expiresAt: now + 1 } }), { status: 'accepted', offset: 1 })
      stage.clock.advance(1)
      t.match(await stage.send(1, { keyed: true, options: { expiresAt: now + 1 } }), { status: 'accepted', offset: 1, replayed: true })
    }
  },
  {
    name: 'no step shows one of many that expire at once',
    settings: { rateLimit: 0, maxEntries: 2000 },
    long: true,
    run: async (t, stage) => {
      const options = { expiresAt: stage.clock.now + 1000 }
      for (let from = 1; from <= 1500; from += 500) {
        await Promise.all(Array.from({ length: 500 }, (_, index) => stage.send(from + index, { options })))
      }
      await stage.send(1501)
      stage.clock.advance(1000)
      const page = await pageOf(stage.store, { user: stage.user, states: undefined, before: undefined, limit: 10 })
      t.same(numbers(page.items.map(({ row }) => row)), [1501])
      t.equal(page.unread, 1)
    }
  },
  {
    name: 'a sweep removes expired notifications that another node published',
    nodes: 2,
    run: async (t, stage) => {
      await stage.send(1, { options: { expiresAt: stage.clock.now + 1000 }, store: stage.other })
      stage.clock.advance(3001)
      const { expired } = await stage.store.sweep()
      t.ok(expired >= 1)
      t.match(await stage.store.queue(stage.user), { head: { offset: 2 }, unread: 0 })
    }
  },
  {
    name: 'a retry of an expired notification resolves with its place and writes nothing',
    run: async (t, stage) => {
      const options = { expiresAt: stage.clock.now + 1000 }
      const first = await stage.send(1, { keyed: true, options })
      await stage.fill(2, 3)
      await stage.send(4, { keyed: true, options })
      stage.clock.advance(1000)
      const again = await stage.send(1, { keyed: true, options })
      t.match(again, { status: 'accepted', offset: 1, replayed: true })
      t.equal(again.status === 'accepted' && again.id8, first.status === 'accepted' && first.id8)
      t.match(await stage.send(4, { keyed: true, options }), { status: 'recalled' })
      t.equal((await stage.log()).unread, 2)
    }
  },
  {
    name: 'trimming a notification cancels its expiry',
    settings: { retentionMs: 2000 },
    run: async (t, stage) => {
      await stage.send(1, { options: { expiresAt: stage.clock.now + 60_000 } })
      stage.clock.advance(2000)
      t.match(await stage.store.advance(stage.user), { expired: 0, nextAt: 0 })
      t.match(await stage.store.queue(stage.user), { unread: 0 })
    }
  },
  {
    name: 'expiries survive a restart',
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      await stage.send(1, { options: { expiresAt: stage.clock.now + 1000 } })
      await stage.fill(2, 3)
      await stage.send(4, { options: { expiresAt: stage.clock.now + 1000 } })
      await stage.restart()
      stage.clock.advance(3001)
      await stage.store.sweep()
      t.match(await stage.store.queue(stage.user), { parked: 0, unread: 2 })
      t.same((await stage.log()).rows.map(rowKind), ['x', 'n', 'n', 'r'])
    }
  },
  {
    name: 'a clock that is set back delays expiries and loses none',
    run: async (t, stage) => {
      stage.clock.advance(3_600_000)
      await stage.send(1, { options: { expiresAt: stage.clock.now + 1000 } })
      stage.clock.advance(-3_600_000)
      t.match(await stage.store.advance(stage.user), { expired: 0 })
      stage.clock.advance(3_601_000)
      t.match(await stage.store.advance(stage.user), { expired: 1 })
    }
  }
]
