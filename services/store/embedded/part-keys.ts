import type { Check } from '../outbox-state.ts'

/** Bytes of a number in a key. */
export const NUMBER_BYTES = 6

/** Returns the key of a part of a user that is named by text. */
export function textKey(prefix: Buffer, part: string, rest = ''): Buffer {
  const key = Buffer.allocUnsafe(prefix.length + 1 + Buffer.byteLength(rest))
  prefix.copy(key)
  key.write(part + rest, prefix.length)
  return key
}

/** Returns the key of a part of a user that is numbered. */
export function numberKey(prefix: Buffer, part: string, number: number): Buffer {
  const key = Buffer.allocUnsafe(prefix.length + 1 + NUMBER_BYTES)
  prefix.copy(key)
  key.write(part, prefix.length)
  key.writeUIntBE(number, prefix.length + 1, NUMBER_BYTES)
  return key
}

/** Returns the key of a check. */
export function checkKey(prefix: Buffer, { offset, kind }: Pick<Check, 'offset' | 'kind'>): Buffer {
  return Buffer.concat([numberKey(prefix, 'j', offset), Buffer.from(kind.charAt(0))])
}
