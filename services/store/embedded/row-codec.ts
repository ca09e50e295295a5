import { NO_OPTIONS, type Options, optionsOf } from '../options.ts'
import type { ReachRule } from '../reach-rule.ts'
import type { Parked, Scheduled } from '../state.ts'

/** Bytes of a number that is stored as a double. */
export const DOUBLE_BYTES = 8
/** First byte of a row with options. No row begins with it, so it tells a value with options from one without. */
const OPTIONS_MARK = 0x01
/** Bytes of the mark, and of the length that follows it. */
const HEAD_BYTES = 3

/** A row with the options and the level of its notification. */
interface RowWithOptions {
  level: number
  options: Options
  row: Buffer
}

/** The level and the options of a notification. The rules are there only if it has one. */
type StoredOptions = [number, number, string, string[], (false | ReachRule | null)?, (ReachRule | null)?]

/** Encodes a row. If it has a level or options, they stand before it: 0x01 | length (2 bytes) | JSON of the level and the options. */
export function encodeRow({ level, options, row }: RowWithOptions): Buffer {
  if (level === 0 && options === NO_OPTIONS) return row
  const json = jsonOf(level, options)
  const length = Buffer.byteLength(json)
  const value = Buffer.allocUnsafe(HEAD_BYTES + length + row.length)
  value[0] = OPTIONS_MARK
  value.writeUInt16BE(length, 1)
  value.write(json, HEAD_BYTES)
  row.copy(value, HEAD_BYTES + length)
  return value
}

export function decodeRow(value: Buffer): RowWithOptions {
  if (value[0] !== OPTIONS_MARK) return { level: 0, options: NO_OPTIONS, row: value }
  const end = HEAD_BYTES + value.readUInt16BE(1)
  const json = value.toString('utf8', HEAD_BYTES, end)
  const [level, expiresAt, collapseKey, actions, push, fallback] = JSON.parse(json) as StoredOptions
  const rules = { ...(push != null && { push }), ...(fallback != null && { fallback }) }
  return { level, options: optionsOf({ expiresAt, collapseKey, actions, ...rules }), row: value.subarray(end) }
}

/** Returns the JSON of `StoredOptions`. */
function jsonOf(level: number, { expiresAt, collapseKey, actions, push, fallback }: Options): string {
  // JSON.stringify of the whole list costs several times as much.
  const common = `[${level},${expiresAt},${JSON.stringify(collapseKey)},${actions.length === 0 ? '[]' : JSON.stringify(actions)}`
  const isCommon = push === undefined && fallback === undefined
  return isCommon ? `${common}]` : `${common},${JSON.stringify(push ?? null)},${JSON.stringify(fallback ?? null)}]`
}

/** Encodes a parked notification: half-life (8 bytes, a double) | row with its options. */
export function encodeParked(parked: Parked): Buffer {
  return Buffer.concat([double(parked.halfLife), encodeRow(parked)])
}

export function decodeParked(no: number, value: Buffer): Parked {
  return { no, halfLife: value.readDoubleBE(), ...decodeRow(value.subarray(DOUBLE_BYTES)) }
}

/** Encodes a scheduled notification: time of delivery (8 bytes, a double) | the rest as for a parked one. */
export function encodeScheduled(scheduled: Scheduled): Buffer {
  return Buffer.concat([double(scheduled.at), encodeParked(scheduled)])
}

export function decodeScheduled(no: number, value: Buffer): Scheduled {
  return { at: value.readDoubleBE(), ...decodeParked(no, value.subarray(DOUBLE_BYTES)) }
}

function double(number: number): Buffer {
  const bytes = Buffer.allocUnsafe(DOUBLE_BYTES)
  bytes.writeDoubleBE(number)
  return bytes
}
