import { encodeRow, tagAfter } from '../../services/store/row.ts'
import { idOf, numbers, pageOf, tailOf, texts } from './stage.ts'
import type { Example } from './store.ts'

const free = { rateLimit: 0 }

export const publishing: Example[] = [
  {
    name: 'the first publish takes offset 1 of a new log, and the row has the bytes of row.ts',
    run: async (t, stage) => {
      const result = await stage.send(1)
      t.match(result, { status: 'accepted', epoch: /^[0-9a-z]{1,16}$/, offset: 1, nodes: 0, replayed: false })
      const log = await stage.log()
      const epoch = result.status === 'accepted' ? result.epoch : ''
      const id8 = tagAfter(epoch, stage.clock.now, idOf(1))
      t.same(
        log.rows.map((row) => row.toString()),
        [encodeRow('n', stage.clock.now, idOf(1), id8, tailOf(1)).toString()]
      )
      t.match(log, { top: 1, topId8: id8, unread: 1, parked: 0 })
      t.match(result, { id8 })
    }
  },
  {
    name: 'offsets are gapless, and the epoch stays',
    settings: free,
    run: async (t, stage) => {
      const results = [await stage.send(1), await stage.send(2), await stage.send(3)]
      t.same(
        results.map((result) => result.status === 'accepted' && result.offset),
        [1, 2, 3]
      )
      t.equal(new Set(results.map((result) => result.status === 'accepted' && result.epoch)).size, 1)
    }
  },
  {
    name: 'concurrent publishes keep the order of their calls',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      const calls = Array.from({ length: 50 }, (_, index) => stage.send(index + 1))
      const results = await Promise.all(calls)
      t.same(new Set(results.map((result) => result.status === 'accepted' && result.offset)).size, 50)
      const { rows } = await stage.log()
      t.same(
        numbers(rows),
        Array.from({ length: 50 }, (_, index) => index + 1)
      )
    }
  },
  {
    name: 'users are kept apart, whatever their names',
    settings: free,
    run: async (t, stage) => {
      const names = ['a', 'a\0', 'ab', 'a:b', '{a}', '{a}b', '../a', 'ä', 'a\u0308', '🦊', ' ', 'x'.repeat(128), '__proto__', '0', '-1']
      const users = names.map((name) => `${name}/${stage.user}`)
      for (const [index, user] of users.entries()) {
        const result = await stage.store.publish({ ...stage.command(index + 1), user })
        t.match(result, { status: 'accepted', offset: 1 })
      }
      for (const [index, user] of users.entries()) {
        const page = await pageOf(stage.store, { user, states: undefined, before: undefined, limit: 10 })
        t.same(numbers(page.items.map((item) => item.row)), [index + 1])
      }
    }
  },
  {
    name: 'a row may be large and of any text',
    settings: free,
    run: async (t, stage) => {
      const tail = `"type":"t","title":"${'\u2028é🦊\\u0000\\"'.repeat(800)}","timestamp":1}`
      await stage.store.publish({ ...stage.command(1), tail })
      const log = await stage.log()
      t.same(texts(log.rows), [`n${stage.clock.now}${idOf(1)}--------${tail}`])
    }
  },
  {
    name: 'a publish without a key is never a retry',
    settings: free,
    run: async (t, stage) => {
      t.match(await stage.send(1), { status: 'accepted', offset: 1, replayed: false })
      t.match(await stage.send(1), { status: 'accepted', offset: 2, replayed: false })
    }
  },
  {
    name: 'a keyed retry returns the first place, and nothing is written',
    settings: free,
    run: async (t, stage) => {
      const first = await stage.send(1, { keyed: true })
      await stage.send(2)
      t.same(await stage.send(1, { keyed: true }), { ...first, nodes: 0, replayed: true })
      t.match(await stage.log(), { top: 2, unread: 2 })
    }
  },
  {
    name: 'concurrent publishes with one key make one notification',
    settings: free,
    run: async (t, stage) => {
      const results = await Promise.all([stage.send(1, { keyed: true }), stage.send(1, { keyed: true, store: stage.other })])
      t.same(results.map((result) => result.status === 'accepted' && result.replayed).sort(), [false, true])
      t.equal((await stage.log()).top, 1)
    }
  },
  {
    name: 'the same key with another body is a conflict, in the log',
    settings: free,
    run: async (t, stage) => {
      await stage.send(1, { keyed: true })
      t.same(await stage.send(1, { keyed: true, body: 7 }), { status: 'conflict' })
      t.equal((await stage.log()).top, 1)
    }
  },
  {
    name: 'a retry of a recalled notification is still a retry, and another body still a conflict',
    settings: free,
    run: async (t, stage) => {
      await stage.send(1, { keyed: true })
      await stage.store.retract(stage.user, idOf(1), '')
      t.match(await stage.send(1, { keyed: true }), { status: 'accepted', offset: 1, replayed: true })
      t.same(await stage.send(1, { keyed: true, body: 7 }), { status: 'conflict' })
    }
  },
  {
    name: 'a retry of a trimmed notification is a retry, and another body a conflict',
    settings: free,
    run: async (t, stage) => {
      await stage.send(1, { keyed: true })
      await stage.fill(2, 12)
      t.match(await stage.send(1, { keyed: true }), { status: 'accepted', offset: 1, replayed: true })
      t.same(await stage.send(1, { keyed: true, body: 7 }), { status: 'conflict' })
      t.equal((await stage.log()).top, 12)
    }
  },
  {
    name: 'a key is remembered for 2,000 offsets, and forgotten at the next multiple of 64',
    settings: free,
    long: true,
    run: async (t, stage) => {
      await stage.send(1, { keyed: true })
      await Promise.all(Array.from({ length: 2046 }, (_, index) => stage.send(index + 2)))
      t.match(await stage.send(1, { keyed: true }), { replayed: true })
      await stage.send(2048)
      t.match(await stage.send(1, { keyed: true }), { status: 'accepted', offset: 2049, replayed: false })
    }
  },
  {
    name: 'a retry of a parked notification returns when it is due; another body is a conflict',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      const parked = await stage.send(4, { keyed: true })
      t.same(parked, { status: 'parked', releaseAt: stage.clock.now + 1000, replayed: false })
      stage.clock.advance(400)
      t.same(await stage.send(4, { keyed: true }), { ...parked, replayed: true })
      t.same(await stage.send(4, { keyed: true, body: 7 }), { status: 'conflict' })
      t.equal((await stage.log()).parked, 1)
    }
  },
  {
    name: 'a retry of a released notification returns its offset',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { keyed: true })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.match(await stage.send(4, { keyed: true }), { status: 'accepted', offset: 4, replayed: true })
      t.same(await stage.send(4, { keyed: true, body: 7 }), { status: 'conflict' })
    }
  },
  {
    name: 'a retry of a folded notification returns the place of its digest',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { keyed: true, halfLife: 1 })
      stage.clock.advance(4001)
      t.match(await stage.store.advance(stage.user), { folded: 1 })
      t.match(await stage.send(4, { keyed: true }), { status: 'accepted', ...(await stage.position(4)), replayed: true })
      t.same(await stage.send(4, { keyed: true, body: 7 }), { status: 'conflict' })
    }
  },
  {
    name: 'a retry of a notification that was recalled while parked does not bring it back',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { keyed: true })
      t.equal(await stage.store.retract(stage.user, idOf(4), ''), 'unparked')
      t.same(await stage.send(4, { keyed: true }), { status: 'recalled', replayed: true })
      t.same(await stage.send(4, { keyed: true, body: 7 }), { status: 'conflict' })
      t.match(await stage.log(), { parked: 0, top: 3 })
    }
  },
  {
    name: 'the window rolls, exact to the millisecond',
    run: async (t, stage) => {
      await stage.send(1)
      stage.clock.advance(500)
      await stage.fill(2, 3)
      stage.clock.advance(499)
      t.same(await stage.send(4), { status: 'parked', releaseAt: stage.clock.now + 1, replayed: false })
      t.match(await stage.store.advance(stage.user), { released: 0, waiting: 1 })
      stage.clock.advance(1)
      t.match(await stage.store.advance(stage.user), { released: 1, waiting: 0 })
      t.match(await stage.send(5), { status: 'parked', releaseAt: stage.clock.now + 500 })
    }
  },
  {
    name: 'the limit counts per user, over all nodes',
    nodes: 2,
    run: async (t, stage) => {
      await stage.fill(1, 2)
      t.match(await stage.send(3, { store: stage.other }), { status: 'accepted' })
      t.match(await stage.send(4, { store: stage.other }), { status: 'parked' })
    }
  },
  {
    name: 'no limit: nothing is parked',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 30)
      t.match(await stage.log(), { top: 30, parked: 0 })
    }
  },
  {
    name: 'changes of state and retractions do not count towards the limit',
    run: async (t, stage) => {
      await stage.fill(1, 2)
      await stage.store.mark({ user: stage.user, target: { ids: [idOf(1)] }, state: 'read' })
      await stage.store.retract(stage.user, idOf(2), '')
      t.match(await stage.send(3), { status: 'accepted', offset: 5 })
      t.match(await stage.send(4), { status: 'parked' })
    }
  },
  {
    name: 'releaseAt is exact behind a backlog, and comes true',
    run: async (t, stage) => {
      await stage.send(1)
      stage.clock.advance(100)
      await stage.send(2)
      stage.clock.advance(100)
      await stage.send(3)
      const start = stage.clock.now
      const due: number[] = []
      for (const number of [4, 5, 6, 7]) {
        const result = await stage.send(number)
        if (result.status === 'parked') due.push(result.releaseAt - start)
      }
      t.same(due, [800, 900, 1000, 1800])
      for (const ms of due) {
        stage.clock.advance(start + ms - 1 - stage.clock.now)
        t.match(await stage.store.advance(stage.user), { released: 0 }, `not at ${ms - 1}`)
        stage.clock.advance(1)
        t.match(await stage.store.advance(stage.user), { released: 1 }, `at ${ms}`)
      }
      t.equal((await stage.log()).parked, 0)
    }
  },
  {
    name: 'beyond parkedMax the answer is full, with the time the backlog takes to drain',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      for (const number of [4, 5, 6, 7]) t.match(await stage.send(number), { status: 'parked' })
      t.same(await stage.send(8, { keyed: true }), { status: 'full', retryAfterMs: 2000 })
      t.match(await stage.log(), { parked: 4, top: 3 })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.match(await stage.send(8, { keyed: true }), { status: 'parked', replayed: false }, 'the key of a refused publish is free')
    }
  },
  {
    name: 'trimming by count starts a tenth above the bound, counts notifications only, and keeps unread exact',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 11)
      t.match(await stage.store.queue(stage.user), { first: { offset: 1 }, unread: 11 })
      await stage.store.mark({ user: stage.user, target: { ids: [idOf(5)] }, state: 'read' })
      t.match(await stage.store.queue(stage.user), { first: { offset: 1 }, head: { offset: 12 }, unread: 10 })
      await stage.send(12)
      t.match(await stage.store.queue(stage.user), { first: { offset: 3 }, head: { offset: 13 }, unread: 9 })
      await stage.fill(13, 14)
      t.match(await stage.store.queue(stage.user), { first: { offset: 5 }, head: { offset: 15 }, unread: 9 })
      const page = await pageOf(stage.store, { user: stage.user, states: ['unread'], before: undefined, limit: 100 })
      t.equal(page.items.length, page.unread)
    }
  },
  {
    name: 'a row as old as retention is trimmed, whatever the step',
    settings: free,
    run: async (t, stage) => {
      await stage.send(1)
      await stage.store.mark({ user: stage.user, target: { ids: [idOf(1)] }, state: 'seen' })
      stage.clock.advance(1000)
      await stage.send(2)
      stage.clock.advance(stage.settings.retentionMs - 1001)
      t.match(await stage.store.queue(stage.user), { first: { offset: 1 }, unread: 2 })
      stage.clock.advance(1)
      t.match(await stage.store.queue(stage.user), { first: { offset: 3 }, head: { offset: 3 }, unread: 1 })
      stage.clock.advance(1000)
      t.match(await stage.store.queue(stage.user), { first: { offset: 0 }, head: { offset: 3 }, unread: 0 })
      t.match(await stage.send(3), { status: 'accepted', offset: 4 })
    }
  },
  {
    name: 'if the clock is set back, rows get the latest time of the log',
    alone: true,
    run: async (t, stage) => {
      await stage.send(1)
      const latest = stage.clock.now
      stage.clock.advance(-5000)
      await stage.send(2)
      t.same(texts((await stage.log()).rows), [stage.row(1, latest).toString(), stage.row(2, latest).toString()])
    }
  },
  {
    name: 'everything written is there after a restart',
    alone: true,
    restarts: true,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { keyed: true })
      await stage.store.mark({ user: stage.user, target: { ids: [idOf(2)] }, state: 'archived' })
      await stage.store.ack(stage.user, 'phone', await stage.position(2))
      const before = [await stage.store.queue(stage.user), await stage.log(), await stage.store.find(stage.user, idOf(4))]
      await stage.restart()
      t.same([await stage.store.queue(stage.user), await stage.log(), await stage.store.find(stage.user, idOf(4))], before)
      t.match(await stage.send(4, { keyed: true }), { status: 'parked', replayed: true })
      stage.clock.advance(1000)
      let released = 0
      for (const store of stage.stores) released += (await store.sweep()).released
      t.equal(released, 1, 'the sweep still knows the users with parked notifications')
      t.same(texts((await stage.log()).rows.slice(-1)), [`n${stage.clock.now}${idOf(4)}--------${tailOf(4)}`])
    }
  }
]
