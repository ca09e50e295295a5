import { FOLD_AFTER_HALF_LIVES } from './limits.ts'
import { rowTime } from './row.ts'
import type { Parked, UserState } from './state.ts'
import type { StoreSettings } from './store.ts'

/** Returns the number of notifications that the rate allows now. */
export function freeSlots(state: UserState, settings: StoreSettings, now: number): number {
  return settings.rateLimit === 0 ? Number.POSITIVE_INFINITY : Math.max(0, settings.rateLimit - inWindow(state, settings, now).length)
}

/**
 * Returns when the parked notification at an index (0: the next) is due, Unix milliseconds, if none before it is recalled. The notification at
 * index i takes slot i modulo `rateLimit`: a free slot now, a used one when its time leaves the window.
 */
export function releaseAt(state: UserState, settings: StoreSettings, now: number, index: number): number {
  const { rateLimit, rateWindowMs } = settings
  if (rateLimit === 0) return now
  const used = inWindow(state, settings, now).slice(-rateLimit)
  const slot = index % rateLimit
  const free = rateLimit - used.length
  const first = slot < free ? now : (used[slot - free] as number) + rateWindowMs
  return first + Math.floor(index / rateLimit) * rateWindowMs
}

/** Returns the run of worthless notifications at the head of the parked ones: older than `FOLD_AFTER_HALF_LIVES` half-lives. */
export function worthless({ parked }: UserState, now: number): Parked[] {
  const end = parked.findIndex(({ halfLife, row }) => halfLife === 0 || now - rowTime(row) <= FOLD_AFTER_HALF_LIVES * halfLife * 1000)
  return end < 0 ? [...parked] : parked.slice(0, end)
}

function inWindow({ limiter }: UserState, { rateWindowMs }: StoreSettings, now: number): number[] {
  return limiter.filter((ms) => ms > now - rateWindowMs)
}
