import type { Platform } from './platform.ts'

/** Settles like the promise; rejects with an error of the message when that takes longer than `ms`. */
export function deadline<T>(platform: Platform, ms: number, promise: Promise<T>, message: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = platform.setTimeout(() => reject(new Error(message)), ms)
    promise.then(resolve, reject).finally(() => platform.clearTimeout(timer))
  })
}
