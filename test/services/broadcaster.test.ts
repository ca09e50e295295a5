import t from 'tap'
import { BatchRunner } from '../../services/audience/batch-runner.ts'
import { Broadcaster } from '../../services/audience/broadcaster.ts'
import { OutcomeRecorder } from '../../services/delivery/outcome-recorder.ts'
import { Publisher } from '../../services/delivery/publisher.ts'
import { UserClock } from '../../services/delivery/user-clock.ts'
import { errors } from '../../services/errors.ts'
import { Counters } from '../../services/node/counters.ts'
import type { Audiences, Batch, BatchName, BroadcastCommand, LeaseBatchResult, SettleBatchCommand } from '../../services/store/audiences.ts'
import type { PublishCommand, PublishResult, Store } from '../../services/store/store.ts'
import { swept } from '../conformance/stage.ts'
import { until } from '../fixtures/wait.ts'

const ID = '00abcdefghijklmnopqrst'
const ACCEPTED: PublishResult = { status: 'accepted', epoch: 'e', offset: 1, id8: 'x', nodes: 0, replayed: false }

function batch(users: string[], more: Partial<Batch> = {}): Batch {
  const publish = { id: ID.slice(2), tail: '', halfLife: 0, options: undefined, broadcastAt: 5 }
  return { broadcastId: ID, from: 0, isRecall: false, users, size: users.length, publish, ...more }
}

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `user-${n}`)

/** A store in which the test says what each call does. `settled` has the batches that were settled. */
class ScriptedStore {
  readonly published: string[] = []
  readonly retracted: unknown[][] = []
  readonly settled: SettleBatchCommand[] = []
  readonly released: BatchName[] = []
  publishOne: (user: string) => Promise<PublishResult> = async () => ACCEPTED
  /** The answers of `lease` and `settle`, in order; then `idle`. */
  next: (LeaseBatchResult | Error)[] = []
  waiting: string[] = []

  readonly store = {
    now: () => Date.now(),
    status: () => ({ durability: 'fsync' }),
    sweep: async () => swept({}),
    publish: async ({ user }: PublishCommand) => {
      this.published.push(user)
      return await this.publishOne(user)
    },
    retract: async (...args: unknown[]) => {
      this.retracted.push(args)
      return 'retracted'
    },
    audiences: {
      publishesAtOnce: 64,
      lease: async () => this.#answer(),
      settle: async (command: SettleBatchCommand) => {
        this.settled.push(command)
        return this.#answer()
      },
      release: async (batch: BatchName) => void this.released.push(batch),
      waiting: async () => this.waiting.splice(0)
    } as unknown as Audiences
  } as unknown as Store

  #answer(): LeaseBatchResult {
    const next = this.next.shift() ?? { status: 'idle' as const }
    if (next instanceof Error) throw next
    return next
  }
}

function runnerOf({ store }: ScriptedStore, counters = new Counters()): BatchRunner {
  return new BatchRunner({ store, counters, onOutcome: () => undefined })
}

const soon = (): number => performance.now() + 20_000

t.test('members for whom the store fails are tried again, and each result is counted once', async (t) => {
  const scripted = new ScriptedStore()
  const left = new Map([
    ['user-3', 2],
    ['user-70', 1]
  ])
  scripted.publishOne = async (user) => {
    const failures = left.get(user) ?? 0
    left.set(user, failures - 1)
    if (failures > 0) throw failures === 2 ? new errors.StoreFull() : new errors.StoreUnavailable()
    if (user === 'user-1') return { status: 'parked', releaseAt: 1, replayed: false }
    return user === 'user-2' ? { status: 'full', retryAfterMs: 1 } : ACCEPTED
  }
  const counters = new Counters()
  const counts = await runnerOf(scripted, counters).run(batch(names(100)), soon())
  t.same(counts, { accepted: 98, parked: 1, rejected: 1 })
  t.equal(scripted.published.length, 103)
  t.same(Object.fromEntries(counters.broadcastMembers), { accepted: 98, parked: 1, rejected: 1 })
})

t.test('a batch with a member that has no result when the time is over has no counts', async (t) => {
  const scripted = new ScriptedStore()
  scripted.publishOne = async (user) => {
    if (user === 'user-0') throw new errors.StoreUnavailable()
    return ACCEPTED
  }
  t.equal(await runnerOf(scripted).run(batch(names(3)), performance.now() + 100), undefined)
  t.equal(await runnerOf(scripted).run(batch(names(3)), performance.now() - 1), undefined, 'a lease that is too old begins nothing')
})

t.test('an error that is none of the store is thrown when every call has ended', async (t) => {
  const scripted = new ScriptedStore()
  let ended = 0
  scripted.publishOne = async (user) => {
    if (user === 'user-0') throw new TypeError('a fault')
    await new Promise((resolve) => setImmediate(resolve))
    ended += 1
    return ACCEPTED
  }
  await t.rejects(runnerOf(scripted).run(batch(names(200)), soon()), { message: 'a fault' })
  t.equal(ended, 199)
})

t.test('a recall retracts from every member, and bars the id', async (t) => {
  const scripted = new ScriptedStore()
  const counters = new Counters()
  const counts = await runnerOf(scripted, counters).run(batch(['a', 'b'], { isRecall: true }), soon())
  t.same(counts, { accepted: 0, parked: 0, rejected: 0 })
  t.same(scripted.retracted, [
    ['a', ID.slice(2), 'recalled', 5],
    ['b', ID.slice(2), 'recalled', 5]
  ])
  t.same(scripted.published, [])
  t.equal(counters.recalled, 2)
})

t.test('a close ends a batch between two publishes, and the batch is not settled but released', async (t) => {
  const scripted = new ScriptedStore()
  const release: (() => void)[] = []
  scripted.publishOne = () => new Promise((resolve) => release.push(() => resolve(ACCEPTED)))
  const runner = runnerOf(scripted)
  const broadcaster = new Broadcaster({ store: scripted.store, runner, onFault: (error) => t.fail(String(error)) })
  scripted.next = [{ status: 'batch', batch: batch(names(500)) }]
  scripted.waiting = [ID]
  await until(() => release.length > 0, 'the first publishes', 3000)
  const underWay = release.length
  t.ok(underWay < 500)
  const closed = broadcaster.close()
  for (const end of release) end()
  await closed
  t.equal(scripted.published.length, underWay, 'no publish was started after the close')
  t.same(scripted.settled, [])
  t.same(scripted.released, [{ broadcastId: ID, from: 0, isRecall: false }])
})

t.test('batches follow each other; a settle that fails is repeated, and an audience that is not complete is asked for again', async (t) => {
  const scripted = new ScriptedStore()
  const broadcaster = new Broadcaster({
    store: scripted.store,
    runner: runnerOf(scripted),
    onFault: (error) => t.fail(String(error))
  })
  t.teardown(() => broadcaster.close())
  scripted.next = [
    { status: 'collecting' },
    { status: 'collecting' },
    { status: 'batch', batch: batch(names(3)) },
    new errors.StoreUnavailable(),
    { status: 'batch', batch: batch(['user-3'], { from: 3 }) }
  ]
  scripted.waiting = [ID]
  await until(() => scripted.settled.length === 3, 'the last batch', 5000)
  t.same(
    scripted.settled.map(({ from, size, accepted }) => ({ from, size, accepted })),
    [
      { from: 0, size: 3, accepted: 3 },
      { from: 0, size: 3, accepted: 3 },
      { from: 3, size: 1, accepted: 1 }
    ]
  )
  t.same(scripted.published, ['user-0', 'user-1', 'user-2', 'user-3'])
  await until(() => broadcaster.running === 0, 'the end')
})

t.test('an error that is none of the store is reported, and the batch is left to its lease', async (t) => {
  const scripted = new ScriptedStore()
  const faults: unknown[] = []
  const broadcaster = new Broadcaster({ store: scripted.store, runner: runnerOf(scripted), onFault: (error) => faults.push(error) })
  t.teardown(() => broadcaster.close())
  const fault = new TypeError('a fault')
  scripted.publishOne = async () => {
    throw fault
  }
  scripted.next = [{ status: 'batch', batch: batch(['a']) }]
  scripted.waiting = [ID]
  await until(() => faults.length > 0, 'the fault', 3000)
  t.same(faults, [fault])
  t.same(scripted.settled, [])
})

t.test('a publish to a topic for which too many broadcasts wait is refused with the time to wait', async (t) => {
  const { store } = new ScriptedStore()
  const counters = new Counters()
  const clock = new UserClock(store, counters)
  t.teardown(() => clock.close())
  const commands: BroadcastCommand[] = []
  const publisher = new Publisher({
    store,
    outcomes: new OutcomeRecorder(clock, counters),
    startBroadcast: async (command) => {
      commands.push(command)
      return { status: 'full', retryAfterMs: 7000 }
    }
  })
  const request = { to: { topic: 'team', except: ['a', 'a'] }, type: 'a', title: 't', urgency: 'high' as const }
  const refused = await publisher.publish(request, 'p', 'k').catch((error: unknown) => error)
  t.match(refused, { code: 'BELFRY_ERR_BROADCASTS_FULL', statusCode: 429, retryAfterMs: 7000 })
  t.match(commands, [{ to: { topic: 'team', except: ['a'] }, keyed: true, halfLife: 0, options: { level: 1 } }])
})
