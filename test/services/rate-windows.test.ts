import t from 'tap'
import { RateWindows } from '../../services/node/rate-windows.ts'

function count(windows: RateWindows, caller: string, now: number): { current: number; ttl: number } | undefined {
  let result: { current: number; ttl: number } | undefined
  windows.incr(
    caller,
    (_error, counted) => {
      result = counted
    },
    1000,
    10,
    now
  )
  return result
}

t.test('each caller is counted in windows of its own', async (t) => {
  const windows = new RateWindows()
  t.same(count(windows, 'a', 5), { current: 1, ttl: 1000 })
  t.same(count(windows, 'a', 405), { current: 2, ttl: 600 })
  t.same(count(windows, 'b', 405), { current: 1, ttl: 1000 })
  t.same(count(windows, 'a', 1005), { current: 1, ttl: 1000 })
  t.same(count(windows.child(), 'a', 1005), { current: 1, ttl: 1000 })
})

t.test('of more than 5,000 callers the one not heard for the longest time is forgotten', async (t) => {
  const windows = new RateWindows()
  for (let n = 0; n < 5000; n++) count(windows, `c${n}`, 0)
  count(windows, 'c0', 1)
  count(windows, 'another', 1)
  t.match(count(windows, 'c0', 2), { current: 3 })
  t.match(count(windows, 'c1', 2), { current: 1 })
})
