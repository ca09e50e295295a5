const BASE_MS = 100
const CAP_MS = 5000

/**
 * Returns the wait before the next attempt, milliseconds: the wait that the service asked for, and half to all of 100 ms, which doubles with each
 * failure, up to 5 s. The random part spreads clients that failed together.
 *
 * @param failures the number of failed attempts, from 1
 */
export function backoff(failures: number, askedMs = 0): number {
  return askedMs + Math.min(CAP_MS, BASE_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2)
}
