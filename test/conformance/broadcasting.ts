import { BATCH_LEASE_MS, BATCH_MAX, BROADCAST_KEPT_MS, BROADCASTS_MAX } from '../../services/store/audiences.ts'
import type { Audience, Batch, BroadcastCommand, LeaseBatchResult, SettleBatchCommand, Store } from '../../services/store/store.ts'
import { idOf, type Stage, tailOf } from './stage.ts'
import type { Example } from './store.ts'

/** Returns `count` names, different for each stage. */
export function namesOf(stage: Stage, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${stage.user} ${index}`)
}

export function topicOf(stage: Stage): string {
  return `topic of ${stage.user}`
}

export async function join(stage: Stage, names: string[]): Promise<void> {
  await stage.store.audiences.changeMembers({ topic: topicOf(stage), add: names, remove: [] })
}

/** Returns an id that no other stage has: an id stands for one broadcast of its bucket. */
export function idFor(stage: Stage, number: number, body = 0): string {
  return idOf(Number(/\d+/.exec(stage.user)?.[0]) * 2000 + number, body)
}

export function start(stage: Stage, number: number, overrides: Partial<BroadcastCommand> & { except?: string[]; body?: number } = {}) {
  const { except = [], body = 0, ...rest } = overrides
  const to: Audience = { topic: topicOf(stage), except }
  return stage.store.audiences.start({ to, id: idFor(stage, number, body), keyed: false, tail: tailOf(number), halfLife: 0, ...rest })
}

/** Starts a broadcast that leases its first batch. */
export async function started(stage: Stage, number: number, overrides: Parameters<typeof start>[2] = {}): Promise<Batch> {
  const result = await start(stage, number, overrides)
  if (result.status !== 'started' || result.batch === undefined) throw new Error(`no batch: ${JSON.stringify(result)}`)
  return result.batch
}

export function settlement({ broadcastId, from, isRecall, size }: Batch, counts: Partial<SettleBatchCommand> = {}): SettleBatchCommand {
  const accepted = isRecall ? 0 : size
  return { broadcastId, from, isRecall, size, accepted, parked: 0, rejected: 0, ...counts }
}

export function batchIn(result: LeaseBatchResult): Batch {
  if (result.status !== 'batch') throw new Error(`not a batch: ${result.status}`)
  return result.batch
}

/** Leases until the audience is complete. */
export async function leased(store: Store, id: string): Promise<LeaseBatchResult> {
  for (;;) {
    const result = await store.audiences.lease(id)
    if (result.status !== 'collecting') return result
  }
}

/** Settles batches until the broadcasts of the topic are done. Resolves with the batches, the given one first. */
async function finish(store: Store, first: Batch): Promise<Batch[]> {
  const batches = [first]
  for (;;) {
    const result = await store.audiences.settle(settlement(batches.at(-1) as Batch))
    if (result.status !== 'batch') return batches
    batches.push(result.batch)
  }
}

/** Resolves with the broadcasts of the stage's topic that some node lists as waiting. */
async function waiting({ stores }: Stage, ...ids: string[]): Promise<string[]> {
  const listed = new Set((await Promise.all(stores.map((store) => store.audiences.waiting()))).flat())
  return ids.filter((id) => listed.has(id))
}

export const usersOf = (batches: Batch[]): string[] => batches.flatMap(({ users }) => users).sort()

async function allMembers(store: Store, topic: string, limit: number): Promise<string[][]> {
  const pages: string[][] = []
  let after: string | undefined
  do {
    const { items, next } = await store.audiences.members(topic, after, limit)
    pages.push(items)
    after = next
  } while (after !== undefined)
  return pages
}

const joining: Example[] = [
  {
    name: 'members are counted once, and a repetition changes nothing',
    run: async (t, stage) => {
      const topic = topicOf(stage)
      const [a = '', b = '', c = ''] = namesOf(stage, 3)
      const change = (add: string[], remove: string[]) => stage.store.audiences.changeMembers({ topic, add, remove })
      t.same(await change([a, b], []), { added: 2, removed: 0 })
      t.same(await change([b, c], [a]), { added: 1, removed: 1 })
      t.same(await change([b, c], [a]), { added: 0, removed: 0 })
      t.same((await stage.other.audiences.members(topic, undefined, 10)).items.sort(), [b, c])
      t.same(await change([], [b, c]), { added: 0, removed: 2 })
      t.same(await stage.store.audiences.members(topic, undefined, 10), { items: [], next: undefined })
    }
  },
  {
    name: 'a page has the limit of names at most, and the pages have every name',
    long: true,
    run: async (t, stage) => {
      const topic = topicOf(stage)
      for (const count of [1, 7, 300, 1200]) {
        const names = namesOf(stage, count)
        await join(stage, names)
        for (const limit of [1, 7, 100, 5000].filter((limit) => count / limit < 400)) {
          const pages = await allMembers(stage.store, topic, limit)
          t.ok(Math.max(...pages.map((page) => page.length)) <= limit, `${count} by ${limit}`)
          t.same([...new Set(pages.flat())].sort(), [...names].sort(), `${count} by ${limit}`)
        }
      }
    }
  },
  {
    name: 'names that stay are in some page while others leave and join',
    long: true,
    run: async (t, stage) => {
      const topic = topicOf(stage)
      const names = namesOf(stage, 600)
      const [stay, leave] = [names.filter((_, index) => index % 3 > 0), names.filter((_, index) => index % 3 === 0)]
      await join(stage, names)
      const seen = new Set<string>()
      let after: string | undefined
      for (let page = 0; ; page++) {
        const { items, next } = await stage.store.audiences.members(topic, after, 40)
        for (const name of items) seen.add(name)
        after = next
        if (next === undefined) break
        const add = namesOf(stage, 100).map((name) => `${name} of page ${page}`)
        await stage.store.audiences.changeMembers({ topic, add: page < 5 ? add : [], remove: leave.splice(0, 40) })
      }
      t.same(
        stay.filter((name) => !seen.has(name)),
        []
      )
    }
  },
  {
    name: 'the topics of a user are listed in alphabetical order, and end with the membership, the topic, or the user',
    run: async (t, stage) => {
      const { user, store } = stage
      const topics = ['b', 'a', 'ａ', 'c'].map((name) => `${name} ${user}`)
      for (const topic of topics) await store.audiences.changeMembers({ topic, add: [user, `${user} x`], remove: [] })
      const [b = '', a = '', wide = '', c = ''] = topics
      t.same(await stage.other.audiences.topicsOf(user), [a, b, c, wide])
      await stage.other.audiences.changeMembers({ topic: a, add: [], remove: [user] })
      t.same(await store.audiences.topicsOf(user), [b, c, wide])
      await store.audiences.deleteTopic(c)
      t.same(await store.audiences.topicsOf(user), [b, wide])
      t.same(await store.audiences.members(c, undefined, 10), { items: [], next: undefined })
      await store.erase(user)
      t.same(await store.audiences.topicsOf(user), [])
      t.same((await store.audiences.members(b, undefined, 10)).items, [`${user} x`])
      await store.audiences.changeMembers({ topic: b, add: [user], remove: [] })
      t.same(await store.audiences.topicsOf(user), [b])
    }
  },
  {
    name: 'names and topics that begin with each other are apart',
    run: async (t, stage) => {
      const { user, store } = stage
      const change = (topic: string, name: string) => store.audiences.changeMembers({ topic, add: [name], remove: [] })
      await change(`${user}t`, `${user}a`)
      await change(`${user}ta`, user)
      await change(`${user}`, `${user}ta`)
      t.same(await store.audiences.topicsOf(user), [`${user}ta`])
      t.same(await store.audiences.topicsOf(`${user}a`), [`${user}t`])
      t.same((await store.audiences.members(`${user}t`, undefined, 10)).items, [`${user}a`])
    }
  },
  {
    name: 'a change of thousands of members, and the removal of the topic',
    long: true,
    run: async (t, stage) => {
      const topic = topicOf(stage)
      const names = namesOf(stage, 3000)
      t.same(await stage.store.audiences.changeMembers({ topic, add: names, remove: [] }), { added: 3000, removed: 0 })
      t.same((await allMembers(stage.store, topic, 1000)).flat().sort(), [...names].sort())
      await stage.store.audiences.deleteTopic(topic)
      t.same(await stage.store.audiences.topicsOf(names[77] as string), [])
      t.same(await stage.store.audiences.members(topic, undefined, 10), { items: [], next: undefined })
    }
  },
  {
    name: 'members survive a restart',
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      await join(stage, [stage.user])
      await stage.restart()
      t.same(await stage.store.audiences.topicsOf(stage.user), [topicOf(stage)])
      t.same((await stage.store.audiences.members(topicOf(stage), undefined, 10)).items, [stage.user])
    }
  }
]

const batching: Example[] = [
  {
    name: 'a broadcast hands out its audience in batches, each member once',
    run: async (t, stage) => {
      const names = namesOf(stage, BATCH_MAX + 3)
      await join(stage, names)
      const options = { collapseKey: 'k "', expiresAt: stage.clock.now + 60_000, push: false as const }
      const first = await started(stage, 1, { options, halfLife: 60, except: [names[0] as string, names[4] as string, 'unknown'] })
      t.same(first.publish, { id: idFor(stage, 1), tail: tailOf(1), halfLife: 60, options, broadcastAt: stage.clock.now })
      t.match(first, { from: 0, isRecall: false })
      const id = first.broadcastId
      t.equal(id.slice(2), idFor(stage, 1))
      t.match(id, /^[0-9a-f]{2}/)
      t.equal(first.users.length, BATCH_MAX)
      const { startedAt } = { startedAt: stage.clock.now }
      stage.clock.advance(1000)
      const second = batchIn(await stage.store.audiences.settle(settlement(first, { accepted: BATCH_MAX - 3, parked: 2, rejected: 1 })))
      t.match(second, { broadcastId: id, from: BATCH_MAX, publish: { id: idFor(stage, 1) } })
      const to = { topic: topicOf(stage), except: [names[0], names[4], 'unknown'] }
      const counts = { accepted: BATCH_MAX - 3, parked: 2, rejected: 1 }
      t.same(await stage.other.audiences.broadcast(id), {
        id,
        to,
        status: 'running',
        members: BATCH_MAX + 1,
        ...counts,
        startedAt,
        finishedAt: 0
      })
      t.same(await stage.store.audiences.settle(settlement(second)), { status: 'idle' })
      t.match(await stage.store.audiences.broadcast(id), { status: 'done', accepted: BATCH_MAX - 2, finishedAt: stage.clock.now })
      t.same(usersOf([first, second]), names.filter((_, index) => index !== 0 && index !== 4).sort())
      t.same(await stage.store.audiences.lease(id), { status: 'idle' })
    }
  },
  {
    name: 'a broadcast to nobody is done at once, and an unknown one is idle',
    run: async (t, stage) => {
      const result = await start(stage, 1)
      t.match(result, { status: 'started', batch: undefined, broadcast: { status: 'done', finishedAt: stage.clock.now, accepted: 0 } })
      await join(stage, [stage.user])
      t.match(await start(stage, 2, { except: [stage.user] }), { status: 'started', broadcast: { status: 'done' } })
      t.same(await stage.store.audiences.lease(`00${idFor(stage, 3)}`), { status: 'idle' })
      t.equal(await stage.store.audiences.broadcast(`00${idFor(stage, 3)}`), undefined)
      t.equal(await stage.store.audiences.cancel(`00${idFor(stage, 3)}`), undefined)
      const command = { broadcastId: `00${idFor(stage, 3)}`, from: 0, isRecall: false, size: 1, accepted: 1, parked: 0, rejected: 0 }
      t.same(await stage.store.audiences.settle(command), { status: 'idle' })
    }
  },
  {
    name: 'who joins or leaves after the start changes nothing',
    run: async (t, stage) => {
      const names = namesOf(stage, BATCH_MAX + 1)
      await join(stage, names)
      const first = await started(stage, 1)
      const change = { topic: topicOf(stage), add: [`${stage.user} late`], remove: names.slice(0, 200) }
      await stage.store.audiences.changeMembers(change)
      t.same(usersOf(await finish(stage.store, first)), [...names].sort())
      await stage.store.audiences.deleteTopic(topicOf(stage))
    }
  },
  {
    name: 'a topic that is deleted ends no broadcast',
    run: async (t, stage) => {
      const names = namesOf(stage, BATCH_MAX + 1)
      await join(stage, names)
      const first = await started(stage, 1)
      await stage.store.audiences.deleteTopic(topicOf(stage))
      t.same(usersOf(await finish(stage.store, first)), [...names].sort())
    }
  },
  {
    name: 'a batch is leased to one node until its time ends, then again with the same members',
    leases: true,
    run: async (t, stage) => {
      await join(stage, namesOf(stage, BATCH_MAX + 1))
      const first = await started(stage, 1)
      const { store, other } = stage
      const id = first.broadcastId
      stage.clock.advance(BATCH_LEASE_MS - 1)
      t.same(await other.audiences.lease(id), { status: 'leased' })
      t.same(await waiting(stage, id), [])
      stage.clock.advance(1)
      t.same(await waiting(stage, id), [id])
      const again = batchIn(await other.audiences.lease(id))
      t.same({ ...again, users: [...again.users].sort() }, { ...first, users: [...first.users].sort() })
      const second = batchIn(await other.audiences.settle(settlement(again)))
      t.same(await store.audiences.settle(settlement(first)), { status: 'leased' }, 'it was settled before')
      t.match(await store.audiences.broadcast(id), { accepted: BATCH_MAX })
      stage.clock.advance(BATCH_LEASE_MS)
      t.same(usersOf([batchIn(await store.audiences.lease(id))]), usersOf([second]))
      t.same(await other.audiences.settle(settlement(second)), { status: 'idle' }, 'the first to settle it does')
      t.match(await store.audiences.broadcast(id), { status: 'done', accepted: BATCH_MAX + 1 })
    }
  },
  {
    name: 'a batch that is released is leased to another node at once; one that was settled before is not released',
    leases: true,
    run: async (t, stage) => {
      await join(stage, namesOf(stage, BATCH_MAX + 1))
      const first = await started(stage, 1)
      const { store, other } = stage
      const id = first.broadcastId
      await store.audiences.release({ ...first, isRecall: true })
      await store.audiences.release({ ...first, broadcastId: `00${idFor(stage, 3)}` })
      t.same(await other.audiences.lease(id), { status: 'leased' }, 'another batch')
      await store.audiences.release(first)
      t.same(await waiting(stage, id), [id])
      const again = batchIn(await other.audiences.lease(id))
      t.same(usersOf([again]), usersOf([first]))
      const second = batchIn(await other.audiences.settle(settlement(again)))
      await store.audiences.release(first)
      t.same(await store.audiences.lease(id), { status: 'leased' }, 'the first batch was settled')
      t.same(await other.audiences.settle(settlement(second)), { status: 'idle' })
      await store.audiences.release(second)
      t.match(await store.audiences.broadcast(id), { status: 'done', accepted: BATCH_MAX + 1 })
    }
  },
  {
    name: 'a batch that was not leased, or has another size, is not settled',
    run: async (t, stage) => {
      await join(stage, namesOf(stage, BATCH_MAX + 5))
      const first = await started(stage, 1)
      const id = first.broadcastId
      for (const wrong of [{ from: BATCH_MAX, size: 5 }, { size: 7 }, { size: 0 }, { isRecall: true }]) {
        await stage.store.audiences.settle(settlement(first, wrong))
      }
      t.match(await stage.store.audiences.broadcast(id), { accepted: 0, status: 'running' })
    }
  },
  {
    name: 'a broadcast without a lease waits, once for each topic, and a restart ends no broadcast',
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      const names = namesOf(stage, BATCH_MAX + 1)
      await join(stage, names)
      const first = await started(stage, 1)
      const second = await start(stage, 2)
      t.match(second, { status: 'started', batch: undefined, broadcast: { status: 'running' } })
      const next = batchIn(await stage.store.audiences.settle(settlement(first)))
      await stage.restart()
      stage.clock.advance(BATCH_LEASE_MS)
      if (second.status !== 'started') return
      t.same(await waiting(stage, first.broadcastId, second.broadcast.id), [first.broadcastId])
      const again = batchIn(await stage.store.audiences.lease(first.broadcastId))
      t.same(again, next)
      const rest = await finish(stage.store, again)
      t.same(
        rest.map(({ publish, from }) => [publish.id, from]),
        [
          [idFor(stage, 1), BATCH_MAX],
          [idFor(stage, 2), 0],
          [idFor(stage, 2), BATCH_MAX]
        ]
      )
      t.match(await stage.store.audiences.broadcast(first.broadcastId), { status: 'done', accepted: BATCH_MAX + 1 })
      t.same(await waiting(stage, first.broadcastId, second.broadcast.id), [])
    }
  },
  {
    name: 'the broadcasts of a topic run in the order of their starts, and do not wait for those of another',
    run: async (t, stage) => {
      await join(stage, [stage.user])
      const first = await started(stage, 1)
      for (const number of [3, 2, 4]) t.match(await start(stage, number), { status: 'started', batch: undefined })
      const topic = `another of ${stage.user}`
      await stage.store.audiences.changeMembers({ topic, add: [stage.user], remove: [] })
      const other = await started(stage, 5, { to: { topic, except: [] } })
      t.same(
        (await finish(stage.store, first)).map(({ publish }) => publish.id),
        [1, 3, 2, 4].map((number) => idFor(stage, number))
      )
      t.same(await finish(stage.store, other), [other])
    }
  },
  {
    name: 'a key starts one broadcast of a topic, for as long as it is kept',
    run: async (t, stage) => {
      await join(stage, [stage.user])
      const first = await started(stage, 1, { keyed: true })
      t.match(await start(stage, 1, { keyed: true }), { status: 'replayed', broadcast: { id: first.broadcastId, status: 'running' } })
      t.same(await start(stage, 1, { keyed: true, body: 7 }), { status: 'conflict' })
      await finish(stage.store, first)
      t.match(await start(stage, 1, { keyed: true }), { status: 'replayed', broadcast: { status: 'done', accepted: 1 } })
      const topic = `another of ${stage.user}`
      t.match(await start(stage, 1, { keyed: true, body: 9, to: { topic, except: [] } }), { status: 'started' })
      stage.clock.advance(BROADCAST_KEPT_MS - 1)
      t.match(await start(stage, 1, { keyed: true, body: 7 }), { status: 'conflict' })
      stage.clock.advance(1)
      t.equal(await stage.store.audiences.broadcast(first.broadcastId), undefined)
      t.equal(await stage.store.audiences.cancel(first.broadcastId), undefined)
      t.match(await start(stage, 1, { keyed: true }), { status: 'started', broadcast: { status: 'running', accepted: 0 } })
    }
  },
  {
    name: 'a broadcast that has expired is refused, unless its key started it before; then it is replayed',
    run: async (t, stage) => {
      await join(stage, [stage.user])
      const options = { expiresAt: stage.clock.now + 1000 }
      const first = await started(stage, 1, { keyed: true, options })
      await finish(stage.store, first)
      stage.clock.advance(1000)
      t.match(await start(stage, 1, { keyed: true, options }), { status: 'replayed', broadcast: { id: first.broadcastId } })
      t.same(await start(stage, 1, { keyed: true, options, body: 7 }), { status: 'conflict' })
      t.same(await start(stage, 2, { keyed: true, options }), { status: 'expired' })
      t.same(await start(stage, 3, { options }), { status: 'expired' })
      t.same(await waiting(stage, first.broadcastId), [])
    }
  },
  {
    name: 'a start without a key that is repeated is one broadcast',
    run: async (t, stage) => {
      await join(stage, [stage.user])
      const first = await started(stage, 1)
      t.match(await start(stage, 1), { status: 'replayed', broadcast: { id: first.broadcastId } })
      t.match(await start(stage, 1, { body: 2 }), { status: 'started' }, 'random ids share nothing')
    }
  },
  {
    name: 'a topic has a thousand broadcasts that wait',
    long: true,
    // A thousand syncs to the disk would take too long: `embedded-audiences.test.ts` has an example of its own.
    nodes: 2,
    run: async (t, stage) => {
      await join(stage, [stage.user])
      const first = await started(stage, 1)
      for (let number = 2; number <= BROADCASTS_MAX; number++) await start(stage, number)
      const refused = await start(stage, BROADCASTS_MAX + 1)
      t.match(refused, { status: 'full' })
      t.ok(refused.status === 'full' && refused.retryAfterMs > 0)
      await stage.store.audiences.settle(settlement(first))
      t.match(await start(stage, BROADCASTS_MAX + 1), { status: 'started' })
    }
  }
]

const cancelling: Example[] = [
  {
    name: 'a cancelled broadcast sends no further batch, and every batch that was leased is recalled',
    run: async (t, stage) => {
      const { store } = stage
      await join(stage, namesOf(stage, 3 * BATCH_MAX))
      const first = await started(stage, 1)
      const id = first.broadcastId
      const second = batchIn(await store.audiences.settle(settlement(first)))
      await start(stage, 2)
      stage.clock.advance(10)
      const cancelled = await stage.other.audiences.cancel(id)
      t.match(cancelled, { id, status: 'cancelled', accepted: BATCH_MAX, finishedAt: stage.clock.now })
      t.same(await waiting(stage, id), [id])
      stage.clock.advance(10)
      const recall = batchIn(await store.audiences.settle(settlement(second)))
      t.match(recall, { broadcastId: id, isRecall: true, from: 0, publish: { id: idFor(stage, 1) } })
      t.match(await store.audiences.broadcast(id), { accepted: BATCH_MAX }, 'the batch counts no more')
      const rest = batchIn(await store.audiences.settle(settlement(recall)))
      t.match(rest, { isRecall: true, from: BATCH_MAX })
      t.same(usersOf([recall, rest]), usersOf([first, second]))
      t.match(await store.audiences.settle(settlement(rest)), {
        status: 'batch',
        batch: { isRecall: false, publish: { id: idFor(stage, 2) } }
      })
      t.same(await store.audiences.cancel(id), cancelled, 'a second cancel changes nothing')
    }
  },
  {
    name: 'a broadcast that is done is recalled, before those that wait',
    run: async (t, stage) => {
      const { store } = stage
      const names = namesOf(stage, 3)
      await join(stage, names)
      const first = await started(stage, 1)
      const id = first.broadcastId
      await start(stage, 2)
      const running = batchIn(await store.audiences.settle(settlement(first)))
      await start(stage, 3)
      t.match(await store.audiences.cancel(id), { status: 'cancelled', accepted: 3 })
      const recall = batchIn(await store.audiences.lease(id))
      t.match(recall, { isRecall: true, broadcastId: id })
      t.same(usersOf([recall]), [...names].sort())
      t.match(await store.audiences.settle(settlement(running)), { status: /leased|batch/ })
      t.match(await store.audiences.broadcast(running.broadcastId), { status: 'done', accepted: 3 })
      t.match(await store.audiences.settle(settlement(recall)), { status: 'batch', batch: { publish: { id: idFor(stage, 3) } } })
    }
  },
  {
    name: 'a broadcast that was cancelled before its first batch has no recall',
    run: async (t, stage) => {
      await join(stage, [stage.user])
      const first = await started(stage, 1)
      const second = await start(stage, 2)
      if (second.status !== 'started') throw new Error('not started')
      t.match(await stage.store.audiences.cancel(second.broadcast.id), { status: 'cancelled', accepted: 0 })
      t.same(await stage.store.audiences.settle(settlement(first)), { status: 'idle' })
      t.match(await stage.store.audiences.broadcast(second.broadcast.id), { status: 'cancelled' })
    }
  },
  {
    name: 'a barred id writes nothing later, whatever the user has',
    run: async (t, stage) => {
      const { store, user } = stage
      t.equal(await store.retract(user, idOf(1), 'recalled', stage.clock.now), 'unknown')
      t.same(await stage.send(1, { keyed: true }), { status: 'recalled', replayed: true })
      t.equal(await store.retract(user, idOf(1), 'recalled', stage.clock.now), 'unknown')
      t.match(await stage.send(1, { keyed: true, body: 5 }), { status: 'conflict' })
      t.match(await stage.send(2, { keyed: true }), { status: 'accepted', offset: 1 })
      t.equal(await store.retract(user, idOf(3), 'recalled', stage.clock.now), 'unknown')
      t.same(await stage.send(3, { keyed: true }), { status: 'recalled', replayed: true })
      t.equal(await store.retract(user, idOf(2), 'recalled', stage.clock.now), 'retracted')
      t.match(await stage.send(2, { keyed: true }), { status: 'accepted', replayed: true }, 'the key has its first outcome')
      t.equal(await store.retract(user, idOf(4), 'recalled'), 'unknown')
      t.match(await stage.send(4, { keyed: true }), { status: 'accepted', replayed: false })
    }
  }
]

const reachingEveryone: Example[] = [
  {
    name: 'a broadcast to everyone reaches the users who have a log',
    alone: true,
    run: async (t, stage) => {
      const { store, user } = stage
      const names = Array.from({ length: 30 }, (_, index) => `${user} ${index}`)
      await Promise.all(names.map((name) => store.publish({ ...stage.command(1), user: name })))
      await store.erase(names[0] as string)
      const to: Audience = { everyone: true, except: [names[1] as string] }
      const result = await start(stage, 2, { to })
      t.match(result, { status: 'started', batch: undefined, broadcast: { status: 'running', to } })
      if (result.status !== 'started') return
      t.notOk('members' in result.broadcast, 'the audience is not complete')
      t.same(await waiting(stage, result.broadcast.id), [result.broadcast.id])
      t.equal(result.broadcast.id.slice(0, 2), '00')
      const first = batchIn(await leased(store, result.broadcast.id))
      t.same(usersOf(await finish(store, first)), names.slice(2).sort())
      t.match(await store.audiences.broadcast(result.broadcast.id), { status: 'done', members: 28, accepted: 28 })
      t.same(await waiting(stage, result.broadcast.id), [])
    }
  },
  {
    name: 'a restart while the audience of a broadcast to everyone is collected leaves nobody out, and nobody is in it twice',
    alone: true,
    restarts: true,
    long: true,
    run: async (t, stage) => {
      // More than one lease of the embedded store collects.
      const names = namesOf(stage, 2 * BATCH_MAX + 50)
      await Promise.all(names.map((name) => stage.store.publish({ ...stage.command(1), user: name })))
      const result = await start(stage, 2, { to: { everyone: true, except: [] } })
      if (result.status !== 'started') throw new Error(result.status)
      t.same(await stage.store.audiences.lease(result.broadcast.id), { status: 'collecting' })
      await stage.restart()
      stage.clock.advance(BATCH_LEASE_MS)
      const first = batchIn(await leased(stage.store, result.broadcast.id))
      t.same(usersOf(await finish(stage.store, first)), [...names].sort())
      t.match(await stage.store.audiences.broadcast(result.broadcast.id), { status: 'done', accepted: names.length })
    }
  },
  {
    name: 'a broadcast to everyone is done if there is no user, and can be cancelled before its audience is complete',
    alone: true,
    run: async (t, stage) => {
      const { audiences } = stage.store
      const to: Audience = { everyone: true, except: [] }
      const none = await start(stage, 1, { to })
      if (none.status !== 'started') throw new Error('not started')
      t.same(await leased(stage.store, none.broadcast.id), { status: 'idle' })
      t.match(await audiences.broadcast(none.broadcast.id), { status: 'done', accepted: 0 })
      await stage.fill(1, 1)
      const cancelled = await start(stage, 2, { to })
      if (cancelled.status !== 'started') throw new Error('not started')
      t.match(await audiences.cancel(cancelled.broadcast.id), { status: 'cancelled', members: undefined })
      t.same(await leased(stage.store, cancelled.broadcast.id), { status: 'idle' })
    }
  }
]

export const broadcasting: Example[] = [...joining, ...batching, ...cancelling, ...reachingEveryone]
