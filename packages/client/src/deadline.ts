import type { Platform } from './platform.ts'

/** Settles like the promise, or rejects with `message` after `ms`. */
export function deadline<T>(platform: Platform, ms: number, promise: Promise<T>, message: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = platform.setTimeout(() => reject(new Error(message)), ms)
    promise.then(resolve, reject).finally(() => platform.clearTimeout(timer))
  })
}
