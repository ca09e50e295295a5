import { BATCH_LEASE_MS, BATCH_MAX } from '../../services/store/audiences.ts'
import { ERASED } from '../../services/store/broadcast-step.ts'
import type { Batch, Store } from '../../services/store/store.ts'
import { batchIn, idFor, join, leased, namesOf, settlement, start, started, topicOf, usersOf } from './broadcasting.ts'
import { type Stage, tailOf } from './stage.ts'
import type { Example } from './store.ts'

/** Publishes to a member of a batch, as a node does. */
async function publishTo(store: Store, { publish }: Batch, user: string) {
  return await store.publish({ user, keyed: true, ...publish })
}

async function hasLog({ store }: Stage, user: string): Promise<boolean> {
  return (await store.queue(user)).head.offset > 0
}

export const erasingMembers: Example[] = [
  {
    name: 'an erased user is in no batch any more, and the numbers of a broadcast stay',
    run: async (t, stage) => {
      const { audiences } = stage.store
      await join(stage, namesOf(stage, BATCH_MAX + 3))
      const first = await started(stage, 1)
      const [sent = ''] = first.users
      const pending = namesOf(stage, BATCH_MAX + 3).find((name) => !first.users.includes(name)) as string
      for (const name of [sent, pending]) await stage.other.erase(name)
      stage.clock.advance(BATCH_LEASE_MS)
      const again = batchIn(await audiences.lease(first.broadcastId))
      t.match(again, { from: 0, size: BATCH_MAX })
      t.same(usersOf([again]), first.users.filter((name) => name !== sent).sort())
      t.notOk(again.users.some((name) => name.startsWith(ERASED)))
      const second = batchIn(await audiences.settle(settlement(again, { accepted: BATCH_MAX - 1, rejected: 1 })))
      t.match(second, { from: BATCH_MAX, size: 3 })
      t.equal(second.users.length, 2)
      t.notOk(second.users.includes(pending))
      t.same(await audiences.settle(settlement(second, { accepted: 2, rejected: 1 })), { status: 'idle' })
      const counts = { status: 'done', members: BATCH_MAX + 3, accepted: BATCH_MAX + 1, rejected: 2 } as const
      t.match(await audiences.broadcast(first.broadcastId), counts)
      const [other = ''] = second.users
      await stage.store.erase(other)
      t.match(await audiences.cancel(first.broadcastId), { ...counts, status: 'cancelled' })
      const recall = batchIn(await audiences.lease(first.broadcastId))
      const lastRecall = batchIn(await audiences.settle(settlement(recall)))
      t.match([recall, lastRecall], [{ isRecall: true, size: BATCH_MAX }, { size: 3 }])
      t.same(
        usersOf([recall, lastRecall]),
        namesOf(stage, BATCH_MAX + 3)
          .filter((name) => ![sent, pending, other].includes(name))
          .sort()
      )
    }
  },
  {
    name: 'a batch that was leased before an erasure does not reach the user, also not their new log; a later broadcast does',
    run: async (t, stage) => {
      const { store, user } = stage
      await join(stage, [user])
      const batch = await started(stage, 1)
      stage.clock.advance(10)
      t.match(await publishTo(store, batch, user), { status: 'accepted' })
      await stage.other.erase(user)
      t.same(await publishTo(store, batch, user), { status: 'erased' })
      t.equal(await store.retract(user, batch.publish.id, 'recalled', batch.publish.broadcastAt), 'unknown')
      t.notOk(await hasLog(stage, user), 'neither starts a log')
      t.match(await stage.send(1), { status: 'accepted', offset: 1 })
      t.same(await publishTo(store, batch, user), { status: 'erased' })
      await stage.store.audiences.settle(settlement(batch, { accepted: 0, rejected: 1 }))
      stage.clock.advance(1)
      await join(stage, [user])
      const later = await started(stage, 2)
      t.same(later.users, [user])
      t.match(await publishTo(store, later, user), { status: 'accepted', offset: 2 })
      t.match(await publishTo(store, later, user), { status: 'accepted', offset: 2, replayed: true })
    }
  },
  {
    name: 'an erased user is in no list of exceptions, and the broadcast stays the same',
    run: async (t, stage) => {
      const { audiences } = stage.store
      const [a = '', b = '', c = ''] = [...namesOf(stage, 2), `${stage.user} "/ü,`]
      await join(stage, [a, b, c])
      const except = [b, c, 'unknown']
      const waitingOne = await start(stage, 2, { except })
      const first = await start(stage, 1, { except, keyed: true })
      if (first.status !== 'started' || waitingOne.status !== 'started') throw new Error('not started')
      await stage.store.erase(b)
      const to = { topic: topicOf(stage), except: [c, 'unknown'] }
      for (const { broadcast } of [first, waitingOne]) t.same((await audiences.broadcast(broadcast.id))?.to, to)
      await stage.other.erase(c)
      await stage.other.erase('unknown')
      t.same((await audiences.broadcast(first.broadcast.id))?.to, { ...to, except: [] })
      t.match(await start(stage, 1, { except, keyed: true }), { status: 'replayed', broadcast: { id: first.broadcast.id } })
    }
  },
  {
    name: 'an erasure after a restart finds the broadcasts from before, more than one step looks at, and those for everyone',
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      const { user } = stage
      const [a = '', b = ''] = namesOf(stage, 2)
      for (const name of [user, a, b]) await stage.store.publish({ ...stage.command(1), user: name })
      await join(stage, [user, a])
      const ids: string[] = []
      for (let number = 1; number <= 120; number++) {
        const result = await start(stage, number, { except: [b] })
        if (result.status === 'started') ids.push(result.broadcast.id)
      }
      const to = { everyone: true as const, except: [b] }
      const everyone = await stage.store.audiences.start({ to, id: idFor(stage, 200), keyed: false, tail: tailOf(1), halfLife: 0 })
      if (everyone.status !== 'started') throw new Error('not started')
      const before = batchIn(await leased(stage.store, everyone.broadcast.id))
      t.same(usersOf([before]), [user, a].sort())
      await stage.restart()
      for (const name of [user, b]) await stage.store.erase(name)
      for (const id of [...ids, everyone.broadcast.id]) t.same((await stage.store.audiences.broadcast(id))?.to.except, [])
      stage.clock.advance(BATCH_LEASE_MS)
      t.same(batchIn(await leased(stage.store, everyone.broadcast.id)).users, [a])
      t.same(batchIn(await leased(stage.store, ids[0] as string)).users, [a])
    }
  }
]
