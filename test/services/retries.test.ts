import { mock } from 'node:test'
import t from 'tap'
import { CursorWriter } from '../../services/connection/cursor-writer.ts'
import { OutcomeRecorder } from '../../services/delivery/outcome-recorder.ts'
import { Publisher } from '../../services/delivery/publisher.ts'
import { UserClock } from '../../services/delivery/user-clock.ts'
import { errors } from '../../services/errors.ts'
import { Counters } from '../../services/node/counters.ts'
import type { Position } from '../../services/protocol/index.ts'
import type { AdvanceResult, Store, SweepResult } from '../../services/store/store.ts'
import { advanced, swept } from '../conformance/stage.ts'

const NOTHING = swept({})

/** Runs the continuations of resolved promises. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_754_000_000_000 }))
t.afterEach(() => mock.timers.reset())

t.test('if the clock of the store is behind, a release that found nothing due is retried after a delay', async (t) => {
  const times: number[] = []
  let answer: AdvanceResult = advanced({ waiting: 1, nextAt: Date.now() })
  const advance = async (): Promise<AdvanceResult> => {
    times.push(Date.now())
    return answer
  }
  const userClock = new UserClock({ advance, sweep: async () => NOTHING, now: () => Date.now() } as unknown as Store, new Counters())
  userClock.schedule('alice', Date.now())
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed++) {
      mock.timers.tick(1)
      await settle()
    }
  }
  await pass(200)
  t.ok(times.length >= 2 && times.length <= 5, `${times.length} attempts in 200 ms`)
  answer = advanced({ released: 1, waiting: 1, nextAt: Date.now() })
  times.length = 0
  await pass(200)
  t.ok(times.length > 20, 'after a release the next one starts when it is due')
  await userClock.close()
})

t.test('what a sweep leaves of a user is released when it is due, and not at the next sweep', async (t) => {
  const times: number[] = []
  const start = Date.now()
  let left = 3
  const advance = async (): Promise<AdvanceResult> => {
    times.push(Date.now() - start)
    left -= 1
    return advanced({ released: 10, waiting: left * 10, nextAt: left > 0 ? Date.now() + 1000 : 0 })
  }
  const sweep = async (): Promise<SweepResult> => {
    if (Date.now() - start > 1000) return NOTHING
    return swept({ released: 10, due: [{ user: 'alice', nextAt: Date.now() + 1000 }] })
  }
  const counters = new Counters()
  const userClock = new UserClock({ advance, sweep, now: () => Date.now() } as unknown as Store, counters)
  for (let passed = 0; passed < 6000; passed++) {
    mock.timers.tick(1)
    await settle()
  }
  t.same(times, [1002, 2004, 3006])
  t.equal(counters.released, 50, 'two sweeps and three releases')
  await userClock.close()
})

t.test('the node that accepted a notification advances the user when it expires, before any sweep', async (t) => {
  const times: number[] = []
  const start = Date.now()
  const store = {
    publish: async () => ({ status: 'accepted', epoch: 'e', offset: 1, id8: 'aaaaaaaa', nodes: 0, replayed: false }),
    advance: async () => {
      times.push(Date.now() - start)
      return { released: 0, folded: 0, delivered: 0, expired: 1, waiting: 0, nextAt: 0 }
    },
    sweep: async () => NOTHING,
    status: () => ({ durability: 'none' }),
    now: () => Date.now()
  } as unknown as Store
  const counters = new Counters()
  const userClock = new UserClock(store, counters)
  const publisher = new Publisher({
    store,
    outcomes: new OutcomeRecorder(userClock, counters),
    startBroadcast: (command) => store.audiences.start(command)
  })
  await publisher.publish({ to: 'alice', type: 'a', title: 't', ttl: 2 }, 'publisher', undefined)
  await publisher.publish({ to: 'bob', type: 'a', title: 't' }, 'publisher', undefined)
  for (let passed = 0; passed < 5000; passed++) {
    mock.timers.tick(1)
    await settle()
  }
  t.same(times, [2002])
  t.equal(counters.expired, 1)
  await userClock.close()
})

t.test('a sweep that did not reach every user is continued at once', async (t) => {
  const times: number[] = []
  const start = Date.now()
  const sweep = async (): Promise<SweepResult> => {
    times.push(Date.now() - start)
    return times.length < 4 ? { ...NOTHING, isPartial: true } : NOTHING
  }
  const userClock = new UserClock({ sweep, now: () => Date.now() } as unknown as Store, new Counters())
  for (let passed = 0; passed < 2500; passed++) {
    mock.timers.tick(1)
    await settle()
  }
  t.same(times, [0, 101, 201, 301, 1000, 2000])
  await userClock.close()
})

t.test('a cursor that the store did not write is written again after a second', async (t) => {
  const counters = new Counters()
  const written: number[] = []
  let isUnavailable = true
  const start = Date.now()
  const ack = async (): Promise<void> => {
    written.push(Date.now() - start)
    if (isUnavailable) throw new errors.StoreUnavailable()
  }
  const queue = new CursorWriter({ ack } as unknown as Store, counters)
  queue.ack('alice', 'd', { epoch: 'e', offset: 1, id8: 'x' })
  for (const [ms, times] of [
    [50, [50]],
    [999, [50]],
    [1, [50, 1050]]
  ] as const) {
    mock.timers.tick(ms)
    await settle()
    t.same(written, times)
  }
  isUnavailable = false
  mock.timers.tick(1000)
  await settle()
  t.same(written, [50, 1050, 2050])
  t.equal(counters.acksFailed, 2)
  mock.timers.tick(5000)
  t.equal(written.length, 3)
  await queue.close()
})

t.test('a large backlog of cursors is written in parts, oldest first, with the latest position of each device', async (t) => {
  const written: string[] = []
  const ack = async (user: string, _device: string, { offset }: Position): Promise<void> => {
    written.push(`${user} ${offset}`)
  }
  const queue = new CursorWriter({ ack } as unknown as Store, new Counters())
  const acknowledge = (offset: number): void => {
    for (let user = 0; user < 2000; user++) queue.ack(`user-${user}`, 'd', { epoch: 'e', offset, id8: 'x' })
  }
  acknowledge(1)
  mock.timers.tick(50)
  await settle()
  t.same(
    written,
    Array.from({ length: 100 }, (_, user) => `user-${user} 1`)
  )
  acknowledge(2)
  for (let passed = 0; passed < 2000; passed += 50) {
    mock.timers.tick(50)
    await settle()
  }
  t.same(
    written.slice(100).sort(),
    Array.from({ length: 2000 }, (_, user) => `user-${user} 2`).sort(),
    'later positions replaced waiting ones'
  )
  for (let user = 0; user < 64; user++) queue.ack(`user-${user}`, 'd', { epoch: 'e', offset: 3, id8: 'x' })
  mock.timers.tick(50)
  await settle()
  t.equal(written.length, 2164, 'a small number is written in one flush')
  queue.ack('alice', 'd', { epoch: 'e', offset: 1, id8: 'x' })
  await queue.close()
  t.equal(written.at(-1), 'alice 1')
})
