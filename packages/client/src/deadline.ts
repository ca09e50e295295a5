import type { Platform } from './platform.ts'

type Timers = Pick<Platform, 'setTimeout' | 'clearTimeout'>

/** Settles like the promise, or rejects after `ms` with an Error that names it. */
export function deadline<T>(timers: Timers, ms: number, promise: Promise<T>, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = timers.setTimeout(() => reject(new Error(`${name} did not settle in ${ms / 1000} s`)), ms)
    promise.then(resolve, reject).finally(() => timers.clearTimeout(timer))
  })
}
