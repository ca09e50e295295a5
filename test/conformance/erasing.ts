import { endOfSecond } from '../../services/store/revocation.ts'
import { until } from '../fixtures/wait.ts'
import { idOf } from './stage.ts'
import type { Example } from './store.ts'

export const erasing: Example[] = [
  {
    name: 'an erasure removes everything of the user except the revocation of older tokens',
    run: async (t, stage) => {
      const { user } = stage
      const options = { collapseKey: 'k', actions: ['yes'], expiresAt: stage.clock.now + 60_000 }
      const issuedAt = stage.clock.now
      await stage.attach({ at: 'device' })
      await stage.send(1, { keyed: true, options })
      await stage.store.answer({ user, id: idOf(1), action: 'yes', deviceId: 'phone' })
      await stage.fill(2, 3)
      await stage.send(4, { keyed: true })
      await stage.send(5, { keyed: true, options: { deliverAt: stage.clock.now + 60_000 } })
      const before = await stage.position(3)
      stage.clock.advance(1500)
      await stage.store.erase(user)
      await until(() => stage.kicks().length > 0, 'the message to close')
      t.match(stage.kicks(), [{ connectionId: undefined, reason: 'erased', revoked: false }])
      t.match(await stage.store.queue(user), { head: { offset: 0 }, parked: 0, scheduled: 0, unread: 0, devices: [] })
      t.same(await stage.store.connections(user), [])
      t.equal(await stage.store.revokedBefore(user), endOfSecond(stage.clock.now))
      await stage.store.ack(user, 'phone', before)
      t.same((await stage.store.queue(user)).devices, [])
      const second = stage.clock.now - (stage.clock.now % 1000)
      for (const from of [issuedAt, second]) {
        t.same(await stage.store.attach(stage.attachCommand({ at: 'device' }, { issuedAt: from })), { status: 'revoked' })
      }
      t.match(await stage.store.attach(stage.attachCommand({ at: 'device' }, { issuedAt: second + 1000, connections: [] })), {
        status: 'attached'
      })
      t.match(await stage.send(1, { keyed: true }), { status: 'accepted', offset: 1, replayed: false })
      t.not((await stage.log()).epoch, before.epoch)
      stage.clock.advance(120_000)
      t.match(await stage.store.advance(user), { released: 0, delivered: 0, expired: 0, nextAt: 0 })
    }
  },
  {
    name: 'the erasure of an unknown user stores the revocation alone, and other users keep their logs',
    run: async (t, stage) => {
      await stage.fill(1, 2)
      await stage.store.erase(`${stage.user} two`)
      t.equal(await stage.store.revokedBefore(`${stage.user} two`), endOfSecond(stage.clock.now))
      t.match(await stage.store.queue(stage.user), { unread: 2 })
    }
  },
  {
    name: 'an erasure survives a restart',
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      await stage.fill(1, 3)
      await stage.send(4)
      stage.clock.advance(1500)
      await stage.store.erase(stage.user)
      const { now } = stage.clock
      await stage.restart()
      t.match(await stage.store.queue(stage.user), { head: { offset: 0 }, parked: 0 })
      t.equal(await stage.store.revokedBefore(stage.user), endOfSecond(now))
    }
  },
  {
    name: 'a secret is generated once, and all nodes read the same',
    run: async (t, stage) => {
      const one = await stage.store.secret('answer-link')
      t.equal(one.length, 32)
      t.ok(one.equals(await stage.other.secret('answer-link')))
      t.notOk(one.equals(await stage.store.secret('another')))
    }
  }
]
