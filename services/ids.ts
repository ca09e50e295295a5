import { hash, randomBytes } from 'node:crypto'

/** Characters of a notification id. */
export const ID_LENGTH = 20

/** Characters of a keyed id that stand for the Idempotency-Key; the rest stands for the body. */
export const KEY_LENGTH = 12

const EPOCH_ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'
const EPOCH_LENGTH = 6
const ID_BYTES = 15
const POOL_BYTES = 4096

let pool = Buffer.alloc(0)
let used = 0

/** Returns a random notification id: 20 characters of base64url, 120 bits. */
export function newId(): string {
  const start = take(ID_BYTES)
  return pool.toString('base64url', start, start + ID_BYTES)
}

/** Takes unused random bytes from the pool, and returns the place where they begin. */
function take(bytes: number): number {
  if (used + bytes > pool.length) {
    pool = randomBytes(POOL_BYTES)
    used = 0
  }
  used += bytes
  return used - bytes
}

/**
 * Returns the id of a publish that carries an Idempotency-Key. The first 12 characters depend on the publisher and the key, the other 8 on
 * the request: a retry has the same id, and the ids of one key with different bodies differ only in these 8.
 *
 * @param publisher name of the publisher. Publishers cannot use each other's keys
 * @param body the validated request, in one canonical form
 */
export function keyedId(publisher: string, key: string, body: string): string {
  return digest(`${publisher}\0${key}`, KEY_LENGTH) + digest(body, ID_LENGTH - KEY_LENGTH)
}

/** Returns a random epoch, 6 characters of base 36, so that two logs of one user have different epochs. */
export function newEpoch(): string {
  const start = take(EPOCH_LENGTH)
  let epoch = ''
  for (let at = start; at < start + EPOCH_LENGTH; at++) epoch += EPOCH_ALPHABET[(pool[at] as number) % EPOCH_ALPHABET.length]
  return epoch
}

function digest(text: string, length: number): string {
  return hash('sha256', text, 'base64url').slice(0, length)
}
