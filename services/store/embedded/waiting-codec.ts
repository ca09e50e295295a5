import { NO_OPTIONS, type Parked, type Scheduled } from '../state.ts'

/** Bytes of a number that is stored as a double. */
export const DOUBLE_BYTES = 8
/** First byte of the options of a waiting notification. No row begins with it, so it tells a value with options from one without. */
const OPTIONS_MARK = 0x01

/**
 * Encodes a parked notification: half-life (8 bytes, a double) | row. If it has a level or options, between the two:
 * 0x01 | length (2 bytes) | JSON of the level and the options.
 */
export function encodeParked({ halfLife, level, options, row }: Parked): Buffer {
  const isPlain = level === 0 && options === NO_OPTIONS
  const json = isPlain ? '' : JSON.stringify([level, options.expiresAt, options.collapseKey, options.actions])
  const more = isPlain ? 0 : 3 + Buffer.byteLength(json)
  const value = Buffer.allocUnsafe(DOUBLE_BYTES + more + row.length)
  value.writeDoubleBE(halfLife)
  if (!isPlain) {
    value[DOUBLE_BYTES] = OPTIONS_MARK
    value.writeUInt16BE(more - 3, DOUBLE_BYTES + 1)
    value.write(json, DOUBLE_BYTES + 3)
  }
  row.copy(value, DOUBLE_BYTES + more)
  return value
}

export function decodeParked(no: number, value: Buffer): Parked {
  const halfLife = value.readDoubleBE()
  if (value[DOUBLE_BYTES] !== OPTIONS_MARK) return { no, level: 0, halfLife, options: NO_OPTIONS, row: value.subarray(DOUBLE_BYTES) }
  const end = DOUBLE_BYTES + 3 + value.readUInt16BE(DOUBLE_BYTES + 1)
  const [level, expiresAt, collapseKey, actions] = JSON.parse(value.toString('utf8', DOUBLE_BYTES + 3, end)) as [
    number,
    number,
    string,
    string[]
  ]
  const isPlain = expiresAt === 0 && collapseKey === '' && actions.length === 0
  return { no, level, halfLife, options: isPlain ? NO_OPTIONS : { expiresAt, collapseKey, actions }, row: value.subarray(end) }
}

/** Encodes a scheduled notification: time of delivery (8 bytes, a double) | the rest as for a parked one. */
export function encodeScheduled(scheduled: Scheduled): Buffer {
  const at = Buffer.allocUnsafe(DOUBLE_BYTES)
  at.writeDoubleBE(scheduled.at)
  return Buffer.concat([at, encodeParked(scheduled)])
}

export function decodeScheduled(no: number, value: Buffer): Scheduled {
  return { at: value.readDoubleBE(), ...decodeParked(no, value.subarray(DOUBLE_BYTES)) }
}
