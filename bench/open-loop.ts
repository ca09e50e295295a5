/**
 * Calls `fire` for 0 to `count - 1`, number `k` as soon as it is due, at `start + k / rate`, whatever became of those before: an open loop. What
 * the loop is late by is told, since a latency counts from `due`.
 *
 * @param rate a second
 */
export function openLoop(count: number, rate: number, fire: (index: number, due: number, now: number) => void): Promise<void> {
  const start = performance.now()
  return new Promise((resolve) => {
    let index = 0
    const tick = (): void => {
      const now = performance.now()
      for (; index < count; index++) {
        const due = start + (index * 1000) / rate
        if (due > now) break
        fire(index, due, now)
      }
      if (index === count) resolve()
      else setTimeout(tick, Math.max(0, Math.floor(start + (index * 1000) / rate - now)))
    }
    tick()
  })
}
