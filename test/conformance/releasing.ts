import { encodeRow, NO_TAG, rowKind, rowTime, tails } from '../../services/store/row.ts'
import type { SweepResult } from '../../services/store/store.ts'
import { until } from '../fixtures/wait.ts'
import { advanced, idOf, numbers, swept, tailOf, texts } from './stage.ts'
import type { Example } from './store.ts'

export const releasing: Example[] = [
  {
    name: 'after a clock that was half an hour ahead is set back, parked and new notifications follow the rate',
    run: async (t, stage) => {
      const step = 1_800_000
      await stage.fill(1, 1)
      stage.clock.advance(step)
      await stage.fill(2, 4)
      t.match(await stage.send(5), { status: 'parked', releaseAt: stage.clock.now + 1000 })
      stage.clock.advance(-step)
      t.same(await stage.store.advance(stage.user), advanced({ waiting: 1, nextAt: stage.clock.now + 1000 }))
      stage.clock.advance(999)
      t.match(await stage.store.advance(stage.user), { released: 0, waiting: 1 })
      stage.clock.advance(1)
      t.match(await stage.store.advance(stage.user), { released: 1, waiting: 0 })
      await stage.fill(6, 7)
      t.match(await stage.send(8), { status: 'parked', releaseAt: stage.clock.now + 1000 })
      const { rows } = await stage.log()
      t.same(numbers(rows), [1, 2, 3, 4, 5, 6, 7])
      const times = rows.map(rowTime)
      t.same(times, [...times].sort(), 'the times of the log do not run backwards')
      stage.clock.advance(step)
    }
  },
  {
    name: 'a sweep releases notifications that were parked before the clock was set back',
    run: async (t, stage) => {
      stage.clock.advance(3_600_000)
      await stage.fill(1, 3)
      await stage.send(4)
      stage.clock.advance(-3_600_000)
      await stage.store.sweep()
      stage.clock.advance(3001)
      await stage.store.sweep()
      t.match(await stage.store.queue(stage.user), { parked: 0, head: { offset: 4 } })
      stage.clock.advance(3_600_000)
    }
  },
  {
    name: 'tokens that are issued after the clock was set back are not refused by a later revocation',
    run: async (t, stage) => {
      stage.clock.advance(3_600_000)
      await stage.fill(1, 1)
      stage.clock.advance(-3_600_000)
      await stage.store.disconnect({ user: stage.user, connectionId: undefined, reason: 'r', revoke: true })
      t.equal(await stage.store.revokedBefore(stage.user), stage.clock.now)
      stage.clock.advance(3_600_000)
    }
  },
  {
    name: 'a release with nothing parked does nothing',
    run: async (t, stage) => {
      const none = advanced({})
      t.same(await stage.store.advance(stage.user), none)
      await stage.send(1)
      t.same(await stage.store.advance(stage.user), none)
    }
  },
  {
    name: 'a release before the due time moves nothing and returns that time',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4)
      const nextAt = stage.clock.now + 1000
      stage.clock.advance(999)
      t.same(await stage.store.advance(stage.user), advanced({ waiting: 1, nextAt }))
    }
  },
  {
    name: 'a released row gets its offset and its time at the release',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4)
      stage.clock.advance(1500)
      t.same(await stage.store.advance(stage.user), advanced({ released: 1 }))
      const { rows, unread } = await stage.log()
      t.same(texts(rows.slice(3)), [stage.row(4).toString()])
      t.equal(unread, 4)
    }
  },
  {
    name: 'a release appends no more than the rate allows',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      for (const number of [4, 5, 6, 7]) await stage.send(number)
      stage.clock.advance(10_000)
      t.same(await stage.store.advance(stage.user), advanced({ released: 3, folded: 0, waiting: 1, nextAt: stage.clock.now + 1000 }))
      t.match(await stage.store.advance(stage.user), { released: 0, waiting: 1 })
    }
  },
  {
    name: 'a new publish is parked behind others even when a slot is free',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4)
      stage.clock.advance(2000)
      t.same(await stage.send(5), { status: 'parked', releaseAt: stage.clock.now, replayed: false })
      t.match(await stage.store.advance(stage.user), { released: 2, waiting: 0 })
      t.same(numbers((await stage.log()).rows), [1, 2, 3, 4, 5])
    }
  },
  {
    name: 'concurrent releases from several nodes release each notification exactly once, in order',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      for (const number of [4, 5, 6, 7]) await stage.send(number)
      for (let round = 0; round < 2; round++) {
        stage.clock.advance(1000)
        await Promise.all([stage.store, stage.other, stage.store].map((store) => store.advance(stage.user)))
      }
      t.same(numbers((await stage.log()).rows), [1, 2, 3, 4, 5, 6, 7])
    }
  },
  {
    name: 'a sweep releases every user who is due, and no other',
    alone: true,
    run: async (t, stage) => {
      const users = ['a', 'b', 'c']
      for (const user of users) {
        for (let number = 1; number <= 4; number++) await stage.store.publish({ ...stage.command(number), user })
        stage.clock.advance(100)
      }
      t.same(await stage.store.sweep(), swept({}))
      stage.clock.advance(800)
      let released = 0
      for (const store of stage.stores) released += (await store.sweep()).released
      t.equal(released, 2, 'a and b')
      t.match(await stage.store.queue('c'), { parked: 1, head: { offset: 3 } })
      stage.clock.advance(100)
      for (const store of stage.stores) released += (await store.sweep()).released
      t.equal(released, 3)
    }
  },
  {
    name: 'a sweep releases notifications that were due before the clock was set back a little',
    alone: true,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4)
      stage.clock.advance(1400)
      await stage.send(5)
      stage.clock.advance(-400)
      let released = 0
      for (const store of stage.stores) released += (await store.sweep()).released
      t.equal(released, 2)
      stage.clock.advance(400)
    }
  },
  {
    name: 'a sweep follows the rate of a clock that was set back a little',
    alone: true,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4)
      stage.clock.advance(-400)
      await stage.store.queue(stage.user)
      const sweep = async (): Promise<number> => {
        let released = 0
        for (const store of stage.stores) released += (await store.sweep()).released
        return released
      }
      stage.clock.advance(999)
      t.equal(await sweep(), 0)
      stage.clock.advance(1)
      t.equal(await sweep(), 1)
      stage.clock.advance(400)
    }
  },
  {
    name: 'a sweep keeps to the rate, and the next one releases the rest',
    alone: true,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      for (const number of [4, 5, 6, 7]) await stage.send(number)
      const sweep = async (): Promise<Pick<SweepResult, 'released' | 'due'>> => {
        const results: SweepResult[] = []
        for (const store of stage.stores) results.push(await store.sweep())
        return {
          released: results.reduce((sum, { released }) => sum + released, 0),
          due: results.flatMap(({ due }) => due)
        }
      }
      stage.clock.advance(1000)
      const nextAt = stage.clock.now + 1000
      t.same(await sweep(), { released: 3, due: [{ user: stage.user, nextAt }] })
      stage.clock.advance(999)
      t.same(await sweep(), { released: 0, due: [] })
      stage.clock.advance(1)
      t.same(await sweep(), { released: 1, due: [] })
      t.equal((await stage.store.queue(stage.user)).parked, 0)
    }
  },
  {
    name: 'a notification worth exactly 1/16 is released, one worth less is folded',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { halfLife: 1 })
      stage.clock.advance(4000)
      t.match(await stage.store.advance(stage.user), { released: 1, folded: 0 })
      await stage.fill(5, 6)
      await stage.send(7, { halfLife: 1 })
      stage.clock.advance(4001)
      t.match(await stage.store.advance(stage.user), { released: 1, folded: 1, delivered: 0, expired: 0, waiting: 0 })
    }
  },
  {
    name: 'a run of worthless notifications becomes one digest, and the rest follows in order',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { halfLife: 1 })
      await stage.send(5, { halfLife: 1 })
      await stage.send(6)
      await stage.send(7, { halfLife: 1 })
      stage.clock.advance(5000)
      const { now } = stage.clock
      t.same(await stage.store.advance(stage.user), advanced({ released: 3, folded: 3 }))
      const { rows, unread } = await stage.log()
      t.same(texts(rows.slice(3)), [
        encodeRow('d', now, idOf(4), NO_TAG, tails.digest([idOf(4), idOf(5)], { unread: 3, unseen: 3 })).toString(),
        encodeRow('n', now, idOf(6), NO_TAG, tailOf(6)).toString(),
        encodeRow('d', now, idOf(7), NO_TAG, tails.digest([idOf(7)], { unread: 4, unseen: 4 })).toString()
      ])
      t.equal(unread, 4, 'folded notifications are not unread')
    }
  },
  {
    name: 'a digest takes one slot of the rate',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { halfLife: 1 })
      stage.clock.advance(5000)
      await stage.store.advance(stage.user)
      await stage.fill(5, 6)
      t.match(await stage.send(7), { status: 'parked', releaseAt: stage.clock.now + 1000 })
    }
  },
  {
    name: 'a release trims, too, for a user who is always over the limit',
    run: async (t, stage) => {
      for (let number = 1; number <= 30; number++) {
        await stage.send(number)
        stage.clock.advance(334)
        await stage.store.advance(stage.user)
      }
      const { head, first, unread, parked } = await stage.store.queue(stage.user)
      t.equal(head.offset + parked, 30)
      t.ok(head.offset - first.offset < 11)
      t.equal(unread, head.offset - first.offset + 1)
    }
  },
  {
    name: 'released rows and digests wake the user, in order',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { halfLife: 1 })
      await stage.send(5)
      await stage.attach({ at: 'latest' })
      stage.clock.advance(5000)
      await stage.store.advance(stage.user)
      await until(() => stage.wakes().length >= 2, 'two wake-ups')
      t.same(
        stage.wakes().map(({ offset, row }) => [offset, row && rowKind(row)]),
        [
          [4, 'd'],
          [5, 'n']
        ]
      )
    }
  }
]
