import type { Operation } from './database.ts'
import { DOUBLE_BYTES } from './row-codec.ts'

// Encodes the indexes of users, by which a start knows for whom something is due. `codec.ts` has the layout of the data folder.

export const parkedRange: [Buffer, Buffer] = [Buffer.from('d'), Buffer.from('e')]
export const timesRange: [Buffer, Buffer] = [Buffer.from('t'), Buffer.from('u')]
/** The index of users by the times of their calls. */
export const lanesRange: [Buffer, Buffer] = [Buffer.from('h'), Buffer.from('i')]

const EMPTY = Buffer.alloc(0)

function indexKey(range: [Buffer, Buffer], user: string): Buffer {
  return Buffer.concat([range[0], Buffer.from(user, 'utf16le')])
}

/** The user of a key inside `parkedRange` or `timesRange`. */
export function userOfIndexKey(key: Buffer): string {
  return key.toString('utf16le', 1)
}

/** Encodes the index of users with parked notifications. */
export function encodeParkedIndex(user: string, hasParked: boolean): Operation {
  const key = indexKey(parkedRange, user)
  return hasParked ? { type: 'put', key, value: EMPTY } : { type: 'del', key }
}

/** Encodes the index of users by their nearest expiry or delivery, Unix milliseconds; 0: there is none. */
export function encodeTimesIndex(user: string, at: number): Operation {
  const key = indexKey(timesRange, user)
  if (at === 0) return { type: 'del', key }
  const value = Buffer.allocUnsafe(DOUBLE_BYTES)
  value.writeDoubleBE(at)
  return { type: 'put', key, value }
}

/** Returns the time of an entry of the index; 0 if it cannot be read. */
export function decodeTime(value: Buffer | undefined): number {
  return value?.length === DOUBLE_BYTES ? value.readDoubleBE() : 0
}

/** Encodes the index of users by the time of their nearest call in each lane, Unix milliseconds. */
export function encodeLanesIndex(user: string, times: ReadonlyMap<string, number>): Operation {
  const key = indexKey(lanesRange, user)
  return times.size === 0 ? { type: 'del', key } : { type: 'put', key, value: Buffer.from(JSON.stringify([...times])) }
}

/** Returns the times of an entry of the index; none if it cannot be read. */
export function decodeLanes(value: Buffer | undefined): Map<string, number> {
  return new Map(value === undefined ? [] : (JSON.parse(value.toString()) as [string, number][]))
}
