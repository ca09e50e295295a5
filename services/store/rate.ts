import { FOLD_AFTER_HALF_LIVES } from './limits.ts'
import { rowTime } from './row.ts'
import type { Parked, UserState } from './state.ts'
import type { StoreSettings } from './store.ts'

/** Notifications the user may still get now. */
export function freeSlots(state: UserState, settings: StoreSettings, now: number): number {
  return settings.rateLimit === 0 ? Number.POSITIVE_INFINITY : Math.max(0, settings.rateLimit - inWindow(state, settings, now).length)
}

/** When the parked notification at this index (0 is the next) will be released, if nothing is recalled; Unix milliseconds. */
export function releaseAt(state: UserState, settings: StoreSettings, now: number, index: number): number {
  const { rateLimit, rateWindowMs } = settings
  if (rateLimit === 0) return now
  const used = inWindow(state, settings, now).slice(-rateLimit)
  const slot = index % rateLimit
  const free = rateLimit - used.length
  const first = slot < free ? now : (used[slot - free] as number) + rateWindowMs
  return first + Math.floor(index / rateLimit) * rateWindowMs
}

/** The run of parked notifications at the head whose worth fell below 1/16. */
export function worthless({ parked }: UserState, now: number): Parked[] {
  const end = parked.findIndex(({ halfLife, row }) => halfLife === 0 || now - rowTime(row) <= FOLD_AFTER_HALF_LIVES * halfLife * 1000)
  return end < 0 ? [...parked] : parked.slice(0, end)
}

function inWindow({ limiter }: UserState, { rateWindowMs }: StoreSettings, now: number): number[] {
  return limiter.filter((ms) => ms > now - rateWindowMs)
}
