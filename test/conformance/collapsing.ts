import { COUNT_ID, rowId, rowKind } from '../../services/store/row.ts'
import { idOf, marked, numbers, tailOf, texts } from './stage.ts'
import type { Example } from './store.ts'

const options = { collapseKey: 'sync 77' }

export const collapsing: Example[] = [
  {
    name: 'in the log, a new notification replaces the older one: its row names the older one, whose row is emptied without a retraction',
    run: async (t, stage) => {
      await stage.send(1, { options })
      await stage.send(2)
      await stage.send(3, { options })
      const { rows, unread } = await stage.log()
      t.same(rows.map(rowKind), ['x', 'n', 'n'])
      t.equal(unread, 2)
      t.equal(texts(rows)[2]?.slice(42), `"replaces":"${idOf(1)}",${tailOf(3)}`)
      t.equal(await stage.store.find(stage.user, idOf(1)), undefined)
    }
  },
  {
    name: 'a notification that replaces an archived one is unread',
    run: async (t, stage) => {
      await stage.send(1, { options })
      await marked(stage.store, { user: stage.user, target: { ids: [idOf(1)] }, state: 'archived' })
      await stage.send(2, { options })
      const { unread, states } = await stage.log()
      t.equal(unread, 1)
      t.equal(states.size, 0)
    }
  },
  {
    name: 'if the replaced one was read, a row tells connected devices the unread count',
    settings: { rateLimit: 0 },
    run: async (t, stage) => {
      const { store, user } = stage
      await stage.send(1, { options })
      await stage.send(2)
      await stage.attach({ at: 'earliest' })
      await marked(store, { user, target: { ids: [idOf(1)] }, state: 'read' })
      const result = await stage.send(3, { options })
      t.match(result, { status: 'accepted', offset: 4 })
      t.match(await stage.position(4), { offset: 4, id8: result.status === 'accepted' ? result.id8 : '' })
      const { rows, unread } = await stage.log()
      t.same(rows.map(rowKind), ['x', 'n', 's', 'n', 's'])
      t.equal(rowId(rows[4] as Buffer), COUNT_ID)
      t.equal(texts(rows)[4]?.slice(42), '"ids":[],"state":"read","unread":2,"unseen":2}')
      t.equal(unread, 2)
      await stage.send(4, { options })
      t.match(await store.queue(user), { unread: 2, head: { offset: 6 } }, 'devices know that an unread one was counted')
    }
  },
  {
    name: 'if the replaced one was seen, a row tells connected devices the unseen count',
    settings: { rateLimit: 0 },
    run: async (t, stage) => {
      const { store, user } = stage
      await stage.send(1, { options })
      await stage.send(2)
      await stage.attach({ at: 'earliest' })
      await marked(store, { user, target: { ids: [idOf(1)] }, state: 'seen' })
      t.match(await store.queue(user), { unread: 2, unseen: 1 })
      await stage.send(3, { options })
      const { rows } = await stage.log()
      t.same(rows.map(rowKind), ['x', 'n', 's', 'n', 's'])
      t.equal(rowId(rows[4] as Buffer), COUNT_ID)
      t.equal(texts(rows)[4]?.slice(42), '"ids":[],"state":"read","unread":2,"unseen":2}')
    }
  },
  {
    name: 'one that is replaced leaves no state, no expiry, no options and no answer',
    settings: { rateLimit: 0 },
    run: async (t, stage) => {
      const { clock, store, user } = stage
      const expiring = (ms: number) => ({ ...options, actions: ['ok'], expiresAt: clock.now + ms })
      await stage.fill(1, 9)
      await stage.send(10, { options: expiring(1000) })
      await stage.send(11, { options: expiring(3000) })
      t.match(await store.advance(user), { expired: 0, nextAt: clock.now + 3000 }, 'the expiry of the older one is cancelled')
      t.match(await store.answer({ user, id: idOf(11), action: 'ok', deviceId: 'phone' }), { status: 'answered' })
      await stage.send(12, { options: expiring(2000) })
      t.match(await store.advance(user), { nextAt: clock.now + 2000 })
      t.match(await store.answer({ user, id: idOf(11), action: 'ok', deviceId: 'phone' }), { status: 'unknown' })
      await marked(store, { user, target: { ids: [idOf(12)] }, state: 'seen' })
      await stage.send(13, { options })
      await stage.send(14, { options: { actions: ['ok'] } })
      const { rows, unread, states, answers } = await stage.log()
      t.match(await store.advance(user), { nextAt: 0 })
      t.same(rows.slice(9).map(rowKind), ['x', 'x', 'a', 'x', 's', 'n', 'n'])
      t.same([unread, states.size, answers.size], [11, 0, 0])
      t.match(await store.answer({ user, id: idOf(13), action: 'ok', deviceId: 'phone' }), { status: 'notOffered' })
      t.match(await store.answer({ user, id: idOf(14), action: 'ok', deviceId: 'phone' }), { status: 'answered' })
    }
  },
  {
    name: 'notifications with other collapse keys, or without one, are not replaced',
    run: async (t, stage) => {
      await stage.send(1, { options: { collapseKey: 'a' } })
      await stage.send(2, { options: { collapseKey: 'b' } })
      await stage.send(3)
      t.same((await stage.log()).rows.map(rowKind), ['n', 'n', 'n'])
    }
  },
  {
    name: 'a new notification replaces the parked one and takes its turn',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      const first = await stage.send(4, { options })
      await stage.send(5)
      t.same(await stage.send(6, { options }), first, 'to be released at the same time')
      t.match(await stage.store.queue(stage.user), { parked: 2 })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.same(numbers((await stage.log()).rows), [1, 2, 3, 6, 5])
    }
  },
  {
    name: 'a new notification takes the turn of the parked one even if `parkedMax` are parked',
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4, { options })
      for (const number of [5, 6, 7]) await stage.send(number)
      t.match(await stage.send(8), { status: 'full' })
      t.match(await stage.send(9, { options }), { status: 'parked' })
      t.match(await stage.store.queue(stage.user), { parked: 4 })
    }
  },
  {
    name: 'over the rate, the notification in the log stays until the parked one is released and replaces it',
    run: async (t, stage) => {
      await stage.send(1, { options })
      await stage.fill(2, 3)
      t.match(await stage.send(4, { options }), { status: 'parked' })
      t.same((await stage.log()).rows.map(rowKind), ['n', 'n', 'n'])
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      const { rows } = await stage.log()
      t.same(rows.map(rowKind), ['x', 'n', 'n', 'n'])
      t.match(texts(rows)[3], `"replaces":"${idOf(1)}"`)
    }
  },
  {
    name: 'a late retry of a replaced notification resolves with the first outcome and writes nothing',
    run: async (t, stage) => {
      const first = await stage.send(1, { keyed: true, options })
      await stage.send(2, { options })
      await stage.fill(3, 3)
      const parked = await stage.send(4, { keyed: true, options })
      await stage.send(5, { keyed: true, options })
      t.same(await stage.send(1, { keyed: true, options }), { ...first, nodes: 0, replayed: true })
      t.same(await stage.send(4, { keyed: true, options }), { ...parked, replayed: true })
      t.same(await stage.send(4, { keyed: true, body: 1, options }), { status: 'conflict' })
      t.match(await stage.store.queue(stage.user), { parked: 1, head: { offset: 3 } })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      const { epoch, rows } = await stage.log()
      const released = await stage.position(4)
      const answer = { status: 'accepted', epoch, offset: 4, id8: released.id8, nodes: 0, replayed: true }
      t.same(await stage.send(4, { keyed: true, options }), answer)
      t.same(await stage.send(5, { keyed: true, options }), answer)
      t.equal(rowId(rows[3] as Buffer), idOf(5))
    }
  },
  {
    name: 'a retraction names the collapse key, because a device may still show an older notification of the key',
    run: async (t, stage) => {
      await stage.send(1, { options })
      await stage.send(2, { options })
      await stage.store.retract(stage.user, idOf(2), 'recalled')
      const { rows } = await stage.log()
      t.equal(texts(rows)[2]?.slice(42), `0"id":"${idOf(2)}","reason":"recalled","unread":0,"unseen":0,"collapseKey":"sync 77"}`)
      await stage.send(3, { options })
      t.notMatch(texts((await stage.log()).rows)[3], 'replaces', 'nothing is left to replace')
    }
  },
  {
    name: 'a trimmed notification is not replaced',
    settings: { retentionMs: 2000 },
    run: async (t, stage) => {
      await stage.send(1, { options })
      stage.clock.advance(2000)
      await stage.send(2, { options })
      const { rows, unread } = await stage.log()
      t.same(
        texts(rows).map((text) => text.slice(42)),
        [tailOf(2)]
      )
      t.equal(unread, 1)
    }
  },
  {
    name: 'collapse keys survive a restart',
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      await stage.send(1, { options })
      await stage.fill(2, 3)
      await stage.send(4, { options })
      await stage.restart()
      t.match(await stage.send(5, { options }), { status: 'parked' })
      t.match(await stage.store.queue(stage.user), { parked: 1 })
      stage.clock.advance(1000)
      await stage.store.advance(stage.user)
      t.same((await stage.log()).rows.map(rowKind), ['x', 'n', 'n', 'n'])
    }
  }
]
