import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { BATCH_MAX } from '../../services/store/audiences.ts'
import { rowId, rowKind } from '../../services/store/row.ts'
import type { Broadcast, Store } from '../../services/store/store.ts'
import { temporaryFolder } from '../conformance/embedded-setup.ts'
import { idOf, tailOf } from '../conformance/stage.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { carryOutWaiting, openFast } from './broadcast-child.ts'

const MEMBERS = Array.from({ length: 2 * BATCH_MAX + 50 }, (_, index) => `member ${index}`)
const BROADCASTS = [1, 2, 3, 4]
/** The broadcast that is cancelled. */
const CANCELLED = 3
const KILLS = 4

async function startChild(place: string, startedAt: number): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('./broadcast-child.js', import.meta.url)), [place, String(startedAt)], { execArgv: [] })
  const [first] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => [undefined])])
  if (first === undefined) throw new Error('the child ended by itself')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

/** Adds the members, and starts the broadcasts. Resolves with the ids of the broadcasts. */
async function begin({ audiences }: Store): Promise<string[]> {
  await audiences.changeMembers({ topic: 'team', add: [...MEMBERS, 'left out'], remove: [] })
  const ids: string[] = []
  for (const number of BROADCASTS) {
    const to = { topic: 'team', except: ['left out'] }
    const result = await audiences.start({ to, id: idOf(number), keyed: true, tail: tailOf(number), halfLife: 0 })
    if (result.status === 'started') ids.push(result.broadcast.id)
  }
  await audiences.changeMembers({ topic: 'team', add: ['too late'], remove: MEMBERS.slice(0, 100) })
  return ids
}

async function check(t: Test, store: Store, ids: string[]): Promise<void> {
  await until(
    async () => {
      await carryOutWaiting(store)
      const broadcasts = await Promise.all(ids.map((id) => store.audiences.broadcast(id)))
      const isOver = broadcasts.every((broadcast) => (broadcast as Broadcast).status !== 'running')
      return isOver && (await store.audiences.lease(ids[0] as string)).status === 'idle'
    },
    'the end of the broadcasts',
    90_000
  )
  const expected = BROADCASTS.filter((number) => number !== CANCELLED).map((number) => idOf(number))
  const wrong: unknown[] = []
  for (const user of MEMBERS) {
    const backlog = await store.read({ user, position: { epoch: '', offset: 0, id8: '' }, seen: undefined, limit: 100 })
    const got = backlog.rows.filter((row) => rowKind(row) === 'n').map(rowId)
    if (got.join() !== expected.join()) wrong.push([user, got])
  }
  t.same(wrong, [], 'each member has each notification once, in order, and none of the cancelled broadcast')
  for (const user of ['left out', 'too late']) t.equal((await store.queue(user)).head.offset, 0, user)
  for (const [index, id] of ids.entries()) {
    const isCancelled = BROADCASTS[index] === CANCELLED
    const counts = isCancelled ? {} : { accepted: MEMBERS.length, parked: 0, rejected: 0 }
    t.match(await store.audiences.broadcast(id), { status: isCancelled ? 'cancelled' : 'done', ...counts })
  }
}

t.test('a process of the embedded store is killed in broadcasts, again and again', async (t) => {
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const startedAt = Date.now()
  const first = await openFast(folder, startedAt)
  const ids = await begin(first)
  await first.close()
  for (let cycle = 0; cycle < KILLS; cycle++) {
    const child = await startChild(folder, startedAt)
    await pause(20 + 60 * cycle)
    await kill(child)
    if (cycle !== 2) continue
    const store = await openFast(folder, startedAt)
    await store.audiences.cancel(ids[CANCELLED - 1] as string)
    await store.close()
  }
  const last = await openFast(folder, startedAt)
  t.teardown(() => last.close())
  await check(t, last, ids)
})

t.test('nodes on Redis are killed in broadcasts, again and again', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  const startedAt = Date.now()
  const store = await openFast(server.url, startedAt)
  t.teardown(() => store.close())
  const ids = await begin(store)
  let children = await Promise.all([startChild(server.url, startedAt), startChild(server.url, startedAt)])
  for (let cycle = 0; cycle < KILLS; cycle++) {
    await pause(60 + 40 * cycle)
    const [victim, other] = children as [ChildProcess, ChildProcess]
    const [, next] = await Promise.all([kill(victim), startChild(server.url, startedAt)])
    children = [other, next]
    if (cycle === 2) await store.audiences.cancel(ids[CANCELLED - 1] as string)
  }
  await check(t, store, ids)
  await Promise.all(children.map(kill))
})
