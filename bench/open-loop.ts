/**
 * Calls `fire` for 0 to `count - 1` in an open loop: call `k` is due at `start + k / rate`, and does not wait for the results of earlier calls.
 * `fire` gets the due time and the actual time, because latencies count from the due time.
 *
 * @param rate calls per second
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
