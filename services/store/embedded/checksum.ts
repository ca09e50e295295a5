import { crc32 } from 'node:zlib'

const CHECKSUM_BYTES = 4

/** Returns a value with a checksum of key and value in front of it. */
export function seal(key: Buffer, value: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(CHECKSUM_BYTES + value.length)
  sealed.writeUInt32LE(crc32(value, crc32(key)), 0)
  value.copy(sealed, CHECKSUM_BYTES)
  return sealed
}

/** Returns the value without its checksum, or undefined if the checksum does not match. */
export function unseal(key: Buffer, sealed: Buffer): Buffer | undefined {
  const value = sealed.subarray(CHECKSUM_BYTES)
  return sealed.length >= CHECKSUM_BYTES && sealed.readUInt32LE(0) === crc32(value, crc32(key)) ? value : undefined
}
