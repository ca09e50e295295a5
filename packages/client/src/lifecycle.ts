import type { Platform } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'

const TICK_MS = 2000
const GAP_MS = 5000

/**
 * Calls `tick` every 2 s, with whether the tab did not run for more than 5 s before it. Returns a function that ends it.
 *
 * Browsers run the timers of hidden pages as rarely as once a minute. There only the time counts by which the wall clock is ahead of
 * the monotonic one: that is sleep.
 */
function watchGaps(platform: Platform, tick: (gap: boolean) => void): () => void {
  const watch = new Stopwatch(platform)
  const timer = platform.setInterval(() => {
    const { elapsedMs, runMs } = watch
    watch.restart()
    tick((platform.page?.visible() === false ? elapsedMs - runMs : elapsedMs) > GAP_MS)
  }, TICK_MS)
  return () => platform.clearInterval(timer)
}

export interface LifecycleListeners {
  /** Called every 2 s, less often in hidden pages. */
  tick(): void
  /** The page cannot be seen any more. */
  hidden(): void
  /** The page became visible, or the tab did not run for a while: the connection may have died unnoticed. */
  wake(): void
  online(): void
  offline(): void
  /** The page may not run for long: it is frozen, or goes into the back/forward cache. */
  suspend(): void
  /** The page runs again. Also called when it was not suspended. */
  restore(): void
}

/** Follows what happens to the page, the network and the machine. Returns a function that ends it. */
export function watchLifecycle(platform: Platform, to: LifecycleListeners): () => void {
  const endGaps = watchGaps(platform, (gap) => {
    to.tick()
    if (gap) to.wake()
  })
  const { page } = platform
  const suspend = (): void => to.suspend()
  const restore = (): void => to.restore()
  const endPage = page?.watch({
    online: () => to.online(),
    offline: () => to.offline(),
    visibilitychange() {
      if (!page.visible()) return to.hidden()
      to.restore()
      to.wake()
    },
    pagehide: suspend,
    freeze: suspend,
    pageshow: restore,
    resume: restore
  })
  return () => {
    endGaps()
    endPage?.()
  }
}
