import { crc32 } from 'node:zlib'

const CHECKSUM = 4

/** A value with the checksum of its key and of itself before it. */
export function seal(key: Buffer, value: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(CHECKSUM + value.length)
  sealed.writeUInt32LE(crc32(value, crc32(key)), 0)
  value.copy(sealed, CHECKSUM)
  return sealed
}

/** The value without its checksum; undefined when that does not match. */
export function unseal(key: Buffer, sealed: Buffer): Buffer | undefined {
  const value = sealed.subarray(CHECKSUM)
  return sealed.length >= CHECKSUM && sealed.readUInt32LE(0) === crc32(value, crc32(key)) ? value : undefined
}
