import type { State } from '../../protocol/index.ts'
import { isEntry, rowTime } from '../row.ts'
import { type Cursor, type Effect, emptyState, type KeyPlace, type Parked, type UserState } from '../state.ts'
import type { CheckedEntry, Operation } from './database.ts'
import { type Counts, countsOf, damageIn, type UserDamage } from './user-damage.ts'

/**
 * The layout of the data folder:
 *
 *     'w' | length of the user (2) | user | part (1) | rest    all of one user, in one range
 *     'd' | user                                               one for each user with parked notifications
 *     'n'                                                      the number of the latest write
 *     'x'                                                      damage that was found: JSON, see `DamageRecord`
 *     'v'                                                      the format's version, without a checksum
 *
 * Every value but the version begins with a CRC-32 of its key and of what follows it.
 * A user's name is in UTF-16, which alone keeps apart all strings, whether well formed or not.
 * Parts: `a` meta, the first key of a user · `c` cursors · `k` idempotency key -> place · `l` offset (6) -> row ·
 * `p` number (6) -> half-life (8, a double), row · `s` notification id -> state.
 * Format 1 had 'u' for 'w', neither checksums nor the counts in meta, and rows without tags: see `upgrade.ts`.
 */
export const FORMAT_VERSION = '2'

export const versionRange: [Buffer, Buffer] = [Buffer.from('v'), Buffer.from('w')]
export const usersRange: [Buffer, Buffer] = [Buffer.from('w'), Buffer.from('x')]
export const numberRange: [Buffer, Buffer] = [Buffer.from('n'), Buffer.from('o')]
export const damageRange: [Buffer, Buffer] = [Buffer.from('x'), Buffer.from('y')]
export const parkedRange: [Buffer, Buffer] = [Buffer.from('d'), Buffer.from('e')]

const NUMBER = 6
const DOUBLE = 8
const EMPTY = Buffer.alloc(0)
const STATES: State[] = ['unread', 'seen', 'read', 'archived']
const PLACES: KeyPlace['in'][] = ['log', 'parked', 'recalled']

/** What is kept of a user beside the state. */
export interface Stored {
  state: UserState
  /** When meta was last written, Unix milliseconds. */
  touched: number
  /** The generation of the data folder (see `DamageRecord`) when meta was last written. */
  generation: number
}

/** Damage that may have taken writes of any user: each user that was last written before it may have lost the latest rows. */
export interface DamageRecord {
  /** Counts the times that damage was found. */
  generation: number
  /** When it was found, Unix milliseconds. */
  at: number
  /** The files, and where in them. */
  where: string
}

export function userPrefix(user: string): Buffer {
  const name = Buffer.from(user, 'utf16le')
  const prefix = Buffer.allocUnsafe(3 + name.length)
  prefix[0] = 0x77
  prefix.writeUInt16BE(name.length, 1)
  name.copy(prefix, 3)
  return prefix
}

/** The range that holds all of a user. */
export function userRange(prefix: Buffer): [Buffer, Buffer] {
  return [prefix, Buffer.concat([prefix, Buffer.from([0xff])])]
}

/** The user of a key inside `usersRange`. */
export function userOf(key: Buffer): string {
  return key.toString('utf16le', 3, 3 + key.readUInt16BE(1))
}

function parkedKey(user: string): Buffer {
  return Buffer.concat([parkedRange[0], Buffer.from(user, 'utf16le')])
}

export function userOfParkedKey(key: Buffer): string {
  return key.toString('utf16le', 1)
}

function textKey(prefix: Buffer, part: string, rest = ''): Buffer {
  const key = Buffer.allocUnsafe(prefix.length + 1 + Buffer.byteLength(rest))
  prefix.copy(key)
  key.write(part + rest, prefix.length)
  return key
}

function numberKey(prefix: Buffer, part: string, number: number): Buffer {
  const key = Buffer.allocUnsafe(prefix.length + 1 + NUMBER)
  prefix.copy(key)
  key.write(part, prefix.length)
  key.writeUIntBE(number, prefix.length + 1, NUMBER)
  return key
}

/** Place of the chain among the parts of meta that follow the epoch. */
const CHAIN_INDEX = 13

/** Numbers in base 36; the limiter's times are kept as their distance from the latest, and the oldest row's for the maintenance. */
function encodeMeta({ state, touched, generation }: Stored): Buffer {
  const { epoch, chain, top, floor, unread, lastMs, parkNo, revokedBefore, limiter, rows } = state
  const { parked, parkedNos, states, keys } = countsOf(state)
  const oldest = rows[0] === undefined ? 0 : rowTime(rows[0])
  let text = epoch
  for (const number of [touched, oldest, parked, top, floor, unread, lastMs, parkNo, revokedBefore]) text += ` ${number.toString(36)}`
  for (const number of [generation, parkedNos, states, keys]) text += ` ${number.toString(36)}`
  text += ` ${chain}`
  for (const ms of limiter) text += ` ${(lastMs - ms).toString(36)}`
  return Buffer.from(text)
}

/** The part of meta that maintenance goes by; `oldest` is the time of the oldest row, 0 when there is none. */
export function decodeAge(value: Buffer): { touched: number; oldest: number; parked: number } {
  const [, touched, oldest, parked] = value
    .toString('latin1', 0, 60)
    .split(' ')
    .map((text) => Number.parseInt(text, 36))
  return { touched: touched as number, oldest: oldest as number, parked: parked as number }
}

function decodeMeta(value: Buffer, stored: Stored): Counts | undefined {
  const { state } = stored
  const [epoch, ...texts] = value.toString('latin1').split(' ')
  const chain = texts.splice(CHAIN_INDEX, 1)[0]
  const numbers = texts.map((text) => Number.parseInt(text, 36))
  if (numbers.length < CHAIN_INDEX || chain === undefined || numbers.some((number) => !Number.isSafeInteger(number))) return undefined
  const [touched, , parked, top, floor, unread, lastMs, parkNo, revokedBefore, generation, parkedNos, states, keys, ...limiter] = numbers
  const known = { top, floor, unread, lastMs, parkNo, revokedBefore } as Record<string, number>
  Object.assign(state, known, { epoch, chain, limiter: limiter.map((distance) => (lastMs as number) - distance) })
  stored.touched = touched as number
  stored.generation = generation as number
  return { parked, parkedNos, states, keys } as Counts
}

function encodeCursors(cursors: Map<string, Cursor>): Buffer {
  return Buffer.from(JSON.stringify([...cursors].map(([device, { position, at }]) => [device, position, at])))
}

function decodeCursors(value: Buffer): Map<string, Cursor> {
  const list = JSON.parse(value.toString()) as [string, Cursor['position'], number][]
  return new Map(list.map(([device, position, at]) => [device, { position, at }]))
}

export function encodePlace(place: KeyPlace): Buffer {
  return Buffer.from(`${PLACES.indexOf(place.in)}${place.body} ${place.at.toString(36)}`)
}

function decodePlace(value: Buffer): KeyPlace {
  const [body = '', at = ''] = value.toString('latin1', 1).split(' ')
  return { in: PLACES[Number(value.toString('latin1', 0, 1))] as KeyPlace['in'], at: Number.parseInt(at, 36), body }
}

export function encodeParked({ halfLife, row }: Parked): Buffer {
  const value = Buffer.allocUnsafe(DOUBLE + row.length)
  value.writeDoubleBE(halfLife)
  row.copy(value, DOUBLE)
  return value
}

/** Reads a user from all entries of the user's range. What cannot be trusted is left out, and named in `damage`. */
export function decodeUser(prefix: Buffer, entries: CheckedEntry[]): Stored & { damage: UserDamage | undefined } {
  const stored: Stored = { state: emptyState(), touched: 0, generation: 0 }
  const { state } = stored
  const at = prefix.length + 1
  const offsets: number[] = []
  const bad: string[] = []
  let counts: Counts | undefined
  for (const [key, value] of entries) {
    const part = String.fromCharCode(key[prefix.length] as number)
    if (value === undefined) {
      bad.push(part)
      continue
    }
    switch (part) {
      case 'a':
        counts = decodeMeta(value, stored)
        break
      case 'c':
        state.cursors = decodeCursors(value)
        break
      case 'k':
        state.keys.set(key.toString('utf8', at), decodePlace(value))
        break
      case 'l':
        offsets.push(key.readUIntBE(at, NUMBER))
        state.rows.push(value)
        if (!isEntry(value)) state.changes += 1
        break
      case 'p':
        state.parked.push({ no: key.readUIntBE(at, NUMBER), halfLife: value.readDoubleBE(), row: value.subarray(DOUBLE) })
        break
      case 's':
        state.states.set(key.toString('utf8', at), STATES[value[0] as number] as State)
        break
    }
  }
  state.keys = new Map([...state.keys].sort(([, one], [, other]) => one.at - other.at))
  const damage = damageIn(state, { entries, bad, offsets, counts })
  return { ...stored, damage }
}

/**
 * The operations that bring the folder from what `before` tells to the state after `effects`.
 * Meta is written whenever more than cursors changed.
 */
export function encodeEffects(prefix: Buffer, before: { top: number; floor: number }, after: Stored, effects: Effect[]): Operation[] {
  const operations: Operation[] = []
  const put = (key: Buffer, value: Buffer): number => operations.push({ type: 'put', key, value })
  const del = (key: Buffer): number => operations.push({ type: 'del', key })
  let { top, floor } = before
  let cursorsOnly = true
  for (const effect of effects) {
    if (effect.type !== 'cursor') cursorsOnly = false
    switch (effect.type) {
      case 'reset':
        top = 0
        floor = 0
        break
      case 'append':
        top += 1
        put(numberKey(prefix, 'l', top), effect.row)
        break
      case 'replace':
        put(numberKey(prefix, 'l', effect.offset), effect.row)
        break
      case 'trim':
        for (; floor < effect.floor; floor++) del(numberKey(prefix, 'l', floor + 1))
        for (const id of effect.ids) del(textKey(prefix, 's', id))
        break
      case 'state':
        if (effect.state === 'unread') del(textKey(prefix, 's', effect.id))
        else put(textKey(prefix, 's', effect.id), Buffer.from([STATES.indexOf(effect.state)]))
        break
      case 'park':
        put(numberKey(prefix, 'p', effect.parked.no), encodeParked(effect.parked))
        break
      case 'unpark':
        del(numberKey(prefix, 'p', effect.no))
        break
      case 'key':
        put(textKey(prefix, 'k', effect.key), encodePlace(effect.place))
        break
      case 'forget':
        for (const key of effect.keys) del(textKey(prefix, 'k', key))
        break
    }
  }
  if (effects.some((effect) => effect.type === 'cursor')) put(textKey(prefix, 'c'), encodeCursors(after.state.cursors))
  if (!cursorsOnly || effects.length === 0) put(textKey(prefix, 'a'), encodeMeta(after))
  return operations
}

/** The version has no checksum: it is written past `CheckedDatabase`. */
export function encodeVersion(): Operation {
  return { type: 'put', key: versionRange[0], value: Buffer.from(FORMAT_VERSION) }
}

/** The operation that notes whether a user has parked notifications. */
export function encodeParkedIndex(user: string, has: boolean): Operation {
  return has ? { type: 'put', key: parkedKey(user), value: EMPTY } : { type: 'del', key: parkedKey(user) }
}

/** The operations that remove all entries of a damaged user and write what the state kept, but for meta. */
export function encodeFresh(prefix: Buffer, state: UserState, keys: Buffer[]): Operation[] {
  const operations: Operation[] = keys.map((key) => ({ type: 'del', key }))
  const put = (key: Buffer, value: Buffer): number => operations.push({ type: 'put', key, value })
  if (state.cursors.size > 0) put(textKey(prefix, 'c'), encodeCursors(state.cursors))
  for (const parked of state.parked) put(numberKey(prefix, 'p', parked.no), encodeParked(parked))
  for (const [key, place] of state.keys) put(textKey(prefix, 'k', key), encodePlace(place))
  return operations
}

export function encodeDamage(record: DamageRecord): Operation {
  return { type: 'put', key: damageRange[0], value: Buffer.from(JSON.stringify(record)) }
}

export function decodeDamage(value: Buffer): DamageRecord {
  return JSON.parse(value.toString()) as DamageRecord
}

/** The operations that leave nothing of a user who has neither rows nor parked notifications. */
export function encodeRemoval(prefix: Buffer, state: UserState): Operation[] {
  const keys = [textKey(prefix, 'a'), textKey(prefix, 'c'), ...[...state.keys.keys()].map((key) => textKey(prefix, 'k', key))]
  return keys.map((key) => ({ type: 'del', key }))
}

/** Bytes of memory the state takes, about. */
export function sizeOf(state: UserState): number {
  let bytes = 1000 + state.cursors.size * 250 + state.keys.size * 100 + state.states.size * 100 + state.limiter.length * 8
  for (const row of state.rows) bytes += rowSize(row)
  for (const { row } of state.parked) bytes += rowSize(row) + 50
  return bytes
}

export function rowSize(row: Buffer): number {
  return row.length + 120
}
