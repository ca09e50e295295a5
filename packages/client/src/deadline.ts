import type { Platform } from './platform.ts'

/** Settles like the promise, or rejects after `ms` with an Error that names it. */
export function deadline<T>(platform: Platform, ms: number, promise: Promise<T>, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = platform.setTimeout(() => reject(new Error(`${name} did not settle in ${ms / 1000} s`)), ms)
    promise.then(resolve, reject).finally(() => platform.clearTimeout(timer))
  })
}
