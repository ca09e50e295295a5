import { mock } from 'node:test'
import t from 'tap'
import { ConnectThrottle } from '../../services/connection/connect-throttle.ts'

/** Lets what was resolved go on. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
t.afterEach(() => mock.timers.reset())

t.test('a crowd goes on six at a time, in order, with a millisecond between', async (t) => {
  const throttle = new ConnectThrottle()
  const went: number[] = []
  for (let caller = 0; caller < 20; caller++) void throttle.take().then(() => went.push(caller))
  const counts: number[] = []
  for (let ms = 0; ms < 4; ms++) {
    await settle()
    counts.push(went.length)
    mock.timers.tick(1)
  }
  t.same(counts, [6, 12, 18, 20])
  t.same(
    went,
    Array.from({ length: 20 }, (_, caller) => caller)
  )
})

t.test('who comes when few do waits for nothing, and who comes into a crowd stands behind it', async (t) => {
  const throttle = new ConnectThrottle()
  const went: string[] = []
  const take = (name: string): void => void throttle.take().then(() => went.push(name))
  take('alone')
  await settle()
  t.same(went, ['alone'])
  mock.timers.tick(5)
  for (let caller = 0; caller < 8; caller++) take(`crowd ${caller}`)
  await settle()
  t.equal(went.length, 7)
  mock.timers.tick(1)
  take('late')
  await settle()
  t.same(went.slice(-3), ['crowd 6', 'crowd 7', 'late'])
  for (let caller = 0; caller < 6; caller++) take(`next ${caller}`)
  await settle()
  t.equal(went.length, 13, 'what those took who waited is not free any more')
})
