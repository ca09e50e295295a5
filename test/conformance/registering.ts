import { INLINE_MAX } from '../../services/store/limits.ts'
import { encodeRow, NO_TAG, rowKind } from '../../services/store/row.ts'
import type { ConnectionInfo } from '../../services/store/store.ts'
import { until } from '../fixtures/wait.ts'
import { idOf, untagged } from './stage.ts'

import type { Example } from './store.ts'

const free = { rateLimit: 0 }

export const registering: Example[] = [
  {
    name: 'only a registered node is woken and counted, in order, with the row inline',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      await stage.send(1)
      const { epoch } = await stage.attach({ at: 'latest' })
      t.match(await stage.send(2), { nodes: 1 })
      const calls = Array.from({ length: 20 }, (_, index) => stage.send(index + 3))
      await Promise.all(calls)
      await until(() => stage.wakes().length >= 21, '21 wake-ups')
      t.same(
        stage.wakes().map(({ epoch, offset, row }) => [epoch, offset, row && untagged(row).toString()]),
        Array.from({ length: 21 }, (_, index) => [epoch, index + 2, stage.row(index + 2).toString()])
      )
    }
  },
  {
    name: 'a retry wakes no node',
    settings: free,
    run: async (t, stage) => {
      await stage.attach({ at: 'latest' })
      t.match(await stage.send(1, { keyed: true }), { nodes: 1 })
      t.match(await stage.send(1, { keyed: true }), { nodes: 0, replayed: true })
      await stage.send(2)
      await until(() => stage.wakes().length >= 2, 'the wake-up of 2')
      t.same(
        stage.wakes().map(({ offset }) => offset),
        [1, 2]
      )
    }
  },
  {
    name: 'marks and retractions wake with their rows',
    settings: free,
    run: async (t, stage) => {
      await stage.fill(1, 2)
      await stage.attach({ at: 'latest' })
      await stage.store.mark({ user: stage.user, target: { ids: [idOf(1)] }, state: 'read' })
      await stage.store.retract(stage.user, idOf(2), 'r')
      await until(() => stage.wakes().length >= 2, 'two wake-ups')
      const { rows } = await stage.log()
      t.same(
        stage.wakes().map(({ row }) => row?.toString()),
        rows.slice(2).map((row) => row.toString())
      )
      t.same(
        stage.wakes().map(({ row }) => row && rowKind(row)),
        ['s', 'r']
      )
    }
  },
  {
    name: 'a row longer than INLINE_MAX stays out of its wake-up; one of exactly that length travels',
    settings: free,
    run: async (t, stage) => {
      await stage.attach({ at: 'latest' })
      const header = encodeRow('n', stage.clock.now, idOf(1), NO_TAG, '').length
      const tail = (length: number): string => `"title":"${'x'.repeat(length - header - 11)}"}`
      await stage.store.publish({ ...stage.command(1), tail: tail(INLINE_MAX) })
      await stage.store.publish({ ...stage.command(2), tail: tail(INLINE_MAX + 1) })
      await until(() => stage.wakes().length >= 2, 'two wake-ups')
      t.same(
        stage.wakes().map(({ offset, row }) => [offset, row?.length]),
        [
          [1, INLINE_MAX],
          [2, undefined]
        ]
      )
    }
  },
  {
    name: 'each publish around an attach is in the backlog or wakes the node',
    settings: { rateLimit: 0, maxEntries: 1000 },
    run: async (t, stage) => {
      const early = Array.from({ length: 10 }, (_, index) => stage.send(index + 1))
      const attaching = stage.attach({ at: 'earliest' })
      const late = Array.from({ length: 10 }, (_, index) => stage.send(index + 11))
      const { rows } = await attaching
      await Promise.all([...early, ...late])
      await until(() => stage.wakes().some(({ offset }) => offset === 20) || rows.length === 20, 'the last')
      const known = new Set([...rows.keys()].map((index) => index + 1))
      for (const { offset } of stage.wakes()) known.add(offset)
      t.equal(known.size, 20)
    }
  },
  {
    name: 'after a detach the node is neither woken nor counted',
    settings: free,
    run: async (t, stage) => {
      await stage.attach({ at: 'latest' })
      await stage.send(1)
      await until(() => stage.wakes().length >= 1, 'the first wake-up')
      await stage.store.detach(stage.user, [])
      t.match(await stage.send(2), { nodes: 0 })
      t.same(await stage.store.connections(stage.user), [])
      await stage.attach({ at: 'latest' })
      await stage.send(3)
      await until(() => stage.wakes().length >= 2, 'the wake-up of 3')
      t.same(
        stage.wakes().map(({ offset }) => offset),
        [1, 3]
      )
    }
  },
  {
    name: 'after one of two connections is detached, the node is still woken',
    settings: free,
    run: async (t, stage) => {
      const one = stage.connection('c1')
      const two = stage.connection('c2')
      await stage.attach({ at: 'latest' }, { connections: [one, two] })
      t.same(await stage.store.connections(stage.user), [one, two])
      await stage.store.detach(stage.user, [two])
      t.same(await stage.store.connections(stage.user), [two])
      t.match(await stage.send(1), { nodes: 1 })
    }
  },
  {
    name: 'connections of all nodes are listed on each, and both nodes are woken',
    nodes: 2,
    settings: free,
    run: async (t, stage) => {
      const here = stage.connection('c1')
      const there = stage.connection('c2', stage.stores.length - 1)
      await stage.attach({ at: 'latest' }, { connections: [here] })
      await stage.other.attach(stage.attachCommand({ at: 'latest' }, { connections: [there] }))
      for (const store of stage.stores) {
        const listed = await store.connections(stage.user)
        t.same(listed.map(({ connectionId, node }) => [connectionId, node]).sort(), [
          ['c1', here.node],
          ['c2', there.node]
        ])
      }
      t.match(await stage.send(1), { nodes: 2 })
      await until(() => stage.wakes().length === 1 && stage.wakes(stage.stores.length - 1).length === 1, 'one wake-up on each')
      await stage.store.detach(stage.user, [])
      t.match(await stage.send(2), { nodes: 1 })
    }
  },
  {
    name: 'an attach over the connection limit is refused and changes nothing',
    settings: free,
    run: async (t, stage) => {
      const names = ['c1', 'c2', 'c3'].map((name) => stage.connection(name))
      await stage.attach({ at: 'latest' }, { connections: names.slice(0, 2) })
      t.same(await stage.store.attach(stage.attachCommand({ at: 'latest' }, { connections: names })), { status: 'limit' })
      t.same(await stage.store.connections(stage.user), names.slice(0, 2))
    }
  },
  {
    name: 'the connection limit counts over all nodes',
    nodes: 2,
    settings: free,
    run: async (t, stage) => {
      await stage.attach({ at: 'latest' }, { connections: [stage.connection('c1'), stage.connection('c2')] })
      const third = stage.attachCommand({ at: 'latest' }, { connections: [stage.connection('c3', stage.stores.length - 1)] })
      const refused = await stage.other.attach(third)
      t.match(refused, { status: 'limit', silentMs: Number })
      t.ok(refused.status === 'limit' && (refused.silentMs ?? -1) >= 0 && (refused.silentMs ?? -1) < 10_000, 'the other node is alive')
      t.match(await stage.send(1), { nodes: 1 })
      await stage.store.detach(stage.user, [stage.connection('c1')])
      t.match(await stage.other.attach(third), { status: 'attached' })
    }
  },
  {
    name: 'at the connection limit a newcomer displaces the oldest connection of its device',
    settings: free,
    run: async (t, stage) => {
      const at = (name: string, deviceId: string, connectedAt: number) => ({ ...stage.connection(name), deviceId, connectedAt })
      const [one, two] = [at('c1', 'phone', 1), at('c2', 'laptop', 2)]
      await stage.attach({ at: 'latest' }, { connections: [one, two] })
      const attach = (connections: ConnectionInfo[], newcomer?: string) =>
        stage.store.attach(stage.attachCommand({ at: 'latest' }, { connections, newcomer }))
      const third = at('c3', 'laptop', 3)
      t.same(await attach([one, two, third]), { status: 'limit' }, 'without a newcomer none is displaced')
      t.same(await attach([one, two, at('c3', 'tablet', 3)], 'c3'), { status: 'limit' }, 'nor by a newcomer of another device')
      t.same(await attach([third, one, two], 'c3'), { status: 'limit' }, 'nor by a newcomer that came before the others')
      t.same(
        await attach([one, two, third, at('c4', 'laptop', 4)], 'c3'),
        { status: 'limit' },
        'nor one for whom a single place is too few'
      )
      t.match(await attach([one, two, third], 'c3'), { status: 'attached', displaced: ['c2'] })
      t.match(await attach([one, third], undefined), { status: 'attached', displaced: [] })
      t.match(
        await attach([one, at('c5', 'phone', 5), at('c6', 'phone', 6)], 'c6'),
        { status: 'attached', displaced: ['c1'] },
        'the oldest of two'
      )
      t.same(stage.kicks(), [], 'the node closes its own connections without an order')
    }
  },
  {
    name: 'a newcomer displaces a connection of its device on another node, which is told to close it',
    nodes: 2,
    settings: free,
    run: async (t, stage) => {
      const last = stage.stores.length - 1
      const { now } = stage.clock
      const [one, two] = [
        { ...stage.connection('c1'), connectedAt: now - 10 },
        { ...stage.connection('c2'), connectedAt: now - 5 }
      ]
      await stage.attach({ at: 'latest' }, { connections: [one, two] })
      const three = stage.connection('c3', last)
      const command = stage.attachCommand({ at: 'latest' }, { connections: [three], newcomer: 'c3' })
      t.match(await stage.other.attach(command), { status: 'attached', displaced: [] })
      await until(() => stage.kicks().length === 1, 'the kick')
      t.same(stage.kicks(), [{ user: stage.user, connectionId: 'c1', reason: '', revoked: false, displaced: true }])
      t.same(stage.kicks(last), [])
      const left = await stage.store.connections(stage.user)
      t.same(left.map(({ connectionId }) => connectionId).sort(), ['c2', 'c3'])
      t.same(
        left.find(({ connectionId }) => connectionId === 'c2'),
        two,
        'what is left of an entry is as it was'
      )
      const four = { ...command, connections: [three, stage.connection('c4', last)], newcomer: 'c4' }
      t.match(await stage.other.attach(four), { status: 'attached' })
      await until(() => stage.kicks().length === 2, 'the second kick')
      t.match(await stage.send(1), { nodes: 1 }, 'a node without connections of the user is not woken')
    }
  },
  {
    name: 'without a connection limit no attach is refused',
    settings: { rateLimit: 0, maxConnections: 0 },
    run: async (t, stage) => {
      const connections = Array.from({ length: 30 }, (_, index) => stage.connection(`c${index}`))
      await stage.attach({ at: 'latest' }, { connections })
      t.equal((await stage.store.connections(stage.user)).length, 30)
    }
  },
  {
    name: 'disconnect tells the node that holds the connection, and returns the number',
    settings: free,
    run: async (t, stage) => {
      const { user } = stage
      const command = { user, connectionId: undefined, reason: 'bye', revoke: false }
      t.equal(await stage.store.disconnect(command), 0)
      await stage.attach({ at: 'latest' }, { connections: [stage.connection('c1')] })
      t.equal(await stage.other.disconnect({ ...command, connectionId: 'c9' }), 0)
      t.equal(await stage.other.disconnect({ ...command, connectionId: 'c1' }), 1)
      t.equal(await stage.other.disconnect(command), 1)
      await until(() => stage.kicks().length >= 2, 'two kicks')
      t.same(stage.kicks(), [
        { user, connectionId: 'c1', reason: 'bye', revoked: false },
        { user, connectionId: undefined, reason: 'bye', revoked: false }
      ])
      t.equal(await stage.store.revokedBefore(user), 0)
    }
  },
  {
    name: 'disconnect returns the number of connections',
    settings: free,
    run: async (t, stage) => {
      const { user } = stage
      await stage.attach({ at: 'latest' }, { connections: [stage.connection('c1'), stage.connection('c2')] })
      const command = { user, connectionId: undefined, reason: 'bye', revoke: false }
      t.equal(await stage.store.disconnect(command), 2)
      t.equal(await stage.store.disconnect({ ...command, connectionId: 'c2' }), 1)
      t.equal(await stage.store.disconnect({ ...command, connectionId: 'c' }), 0)
    }
  },
  {
    name: 'disconnect tells every node that holds the user',
    nodes: 2,
    settings: free,
    run: async (t, stage) => {
      const last = stage.stores.length - 1
      await stage.attach({ at: 'latest' }, { connections: [stage.connection('c1')] })
      await stage.other.attach(stage.attachCommand({ at: 'latest' }, { connections: [stage.connection('c2', last)] }))
      t.equal(await stage.store.disconnect({ user: stage.user, connectionId: undefined, reason: '', revoke: false }), 2)
      await until(() => stage.kicks().length === 1 && stage.kicks(last).length === 1, 'a kick on each')
    }
  },
  {
    name: 'revoke: tokens issued up to now are refused, later ones accepted, and the registry does not change',
    settings: free,
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1)
      stage.clock.advance(123)
      const first = stage.connection('c1')
      await stage.attach({ at: 'latest' }, { connections: [first] })
      t.equal(await stage.store.disconnect({ user, connectionId: undefined, reason: 'out', revoke: true }), 1)
      await until(() => stage.kicks().length === 1, 'the kick')
      t.match(stage.kicks(), [{ reason: 'out', revoked: true }])
      const { now } = stage.clock
      t.equal(await stage.other.revokedBefore(user), now)
      stage.clock.advance(10)
      const again = (issuedAt: number) =>
        stage.store.attach(stage.attachCommand({ at: 'latest' }, { issuedAt, connections: [first, stage.connection('c2')] }))
      t.same(await again(now), { status: 'revoked' })
      t.same(await stage.store.connections(user), [first])
      const second = now - (now % 1000)
      t.same(await again(second - 1000), { status: 'revoked' }, 'whole seconds are compared by seconds')
      t.match(await again(second), { status: 'attached' }, 'the token may have been issued later in that second')
      t.match(await again(now + 1), { status: 'attached' })
      t.match(await stage.log(), { top: 1, unread: 1 }, 'the log is unchanged')
    }
  },
  {
    name: 'a revocation is checked before the connection limit, also for an unknown user',
    settings: free,
    run: async (t, stage) => {
      const { user } = stage
      t.equal(await stage.store.revokedBefore(user), 0)
      t.equal(await stage.store.disconnect({ user, connectionId: undefined, reason: '', revoke: true }), 0)
      t.equal(await stage.store.revokedBefore(user), stage.clock.now)
      const connections = ['c1', 'c2', 'c3'].map((name) => stage.connection(name))
      const issuedAt = stage.clock.now - 1000
      t.same(await stage.store.attach(stage.attachCommand({ at: 'latest' }, { issuedAt, connections })), { status: 'revoked' })
    }
  },
  {
    name: 'an open store is available',
    run: async (t, stage) => {
      t.match(stage.store.status(), { available: true, reason: '' })
    }
  },
  {
    name: 'close may be called twice, and takes the node out of the registry',
    alone: true,
    nodes: 2,
    run: async (t, stage) => {
      const last = stage.stores.length - 1
      await stage.other.attach(stage.attachCommand({ at: 'latest' }, { connections: [stage.connection('c2', last)] }))
      t.match(await stage.send(1), { nodes: 1 })
      await stage.other.close()
      await stage.other.close()
      t.match(await stage.send(2), { nodes: 0 })
      t.same(await stage.store.connections(stage.user), [])
    }
  }
]
