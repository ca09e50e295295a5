import { mock } from 'node:test'
import t from 'tap'
import { ConnectThrottle } from '../../services/connection/connect-throttle.ts'

/** Runs the continuations of resolved promises. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
t.afterEach(() => mock.timers.reset())

t.test('a crowd is admitted in order, six callers per millisecond', async (t) => {
  const throttle = new ConnectThrottle()
  const admitted: number[] = []
  for (let caller = 0; caller < 20; caller++) void throttle.take().then(() => admitted.push(caller))
  const counts: number[] = []
  for (let ms = 0; ms < 4; ms++) {
    await settle()
    counts.push(admitted.length)
    mock.timers.tick(1)
  }
  t.same(counts, [6, 12, 18, 20])
  t.same(
    admitted,
    Array.from({ length: 20 }, (_, caller) => caller)
  )
})

t.test('a single caller does not wait; a caller behind a crowd waits for its turn', async (t) => {
  const throttle = new ConnectThrottle()
  const admitted: string[] = []
  const take = (name: string): void => void throttle.take().then(() => admitted.push(name))
  take('alone')
  await settle()
  t.same(admitted, ['alone'])
  mock.timers.tick(5)
  for (let caller = 0; caller < 8; caller++) take(`crowd ${caller}`)
  await settle()
  t.equal(admitted.length, 7)
  mock.timers.tick(1)
  take('late')
  await settle()
  t.same(admitted.slice(-3), ['crowd 6', 'crowd 7', 'late'])
  for (let caller = 0; caller < 6; caller++) take(`next ${caller}`)
  await settle()
  t.equal(admitted.length, 13, 'places taken by waiting callers are not free')
})
