import type { Platform } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'

const TICK_MS = 2000
/** A tab that did not run for longer may have a dead connection. */
const GAP_MS = 5000

/** Functions that need no `this`. */
interface LifecycleListeners {
  /** Called every 2 s, less often in hidden pages. */
  tick(): void
  /** The page became hidden. */
  hidden(): void
  /** The page became visible, or the tab did not run for a while: the connection may have died unnoticed. */
  wake(): void
  online(): void
  offline(): void
  /** The page stops running: it is frozen, or goes into the back/forward cache. */
  suspend(): void
  /** The page runs again. Also called if it was not suspended. */
  restore(): void
}

/** Watches the page, the network and the machine. Returns a function that stops watching. */
export function watchLifecycle(
  platform: Platform,
  { tick, hidden, wake, online, offline, suspend, restore }: LifecycleListeners
): () => void {
  const { page } = platform
  const sinceTick = new Stopwatch(platform)
  const timer = platform.setInterval(() => {
    const { elapsedMs, runMs } = sinceTick
    sinceTick.restart()
    tick()
    // Browsers run the timers of hidden pages as rarely as once a minute. In a hidden page only sleep of the machine counts: the time by
    // which the wall clock got ahead of the monotonic clock.
    if ((page?.visible() === false ? elapsedMs - runMs : elapsedMs) > GAP_MS) wake()
  }, TICK_MS)
  const stopPage = page?.watch({
    online,
    offline,
    visibilitychange() {
      if (!page.visible()) return hidden()
      restore()
      wake()
    },
    pagehide: suspend,
    freeze: suspend,
    pageshow: restore,
    resume: restore
  })
  return () => {
    platform.clearInterval(timer)
    stopPage?.()
  }
}
