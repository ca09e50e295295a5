import type { State } from '../../protocol/index.ts'
import { rowTime } from '../row.ts'
import { type Cursor, type Effect, emptyState, type Parked, type UserState } from '../state.ts'
import type { Operation } from './database.ts'

/**
 * The layout of the data folder:
 *
 *     'u' | length of the user (2) | user | part (1) | rest    all of one user, in one range
 *     'd' | user                                               one for each user with parked notifications
 *     'v'                                                      the format's version
 *
 * A user's name is in UTF-16, which alone keeps apart all strings, whether well formed or not.
 * Parts: `a` meta, the first key of a user · `c` cursors · `k` idempotency key -> place · `l` offset (6) -> row ·
 * `p` number (6) -> half-life (6), row · `s` notification id -> state.
 */
export const FORMAT_VERSION = '1'

export const versionRange: [Buffer, Buffer] = [Buffer.from('v'), Buffer.from('w')]
export const usersRange: [Buffer, Buffer] = [Buffer.from('u'), Buffer.from('v')]
export const parkedRange: [Buffer, Buffer] = [Buffer.from('d'), Buffer.from('e')]

const NUMBER = 6
const EMPTY = Buffer.alloc(0)
const STATES: State[] = ['unread', 'seen', 'read', 'archived']

/** What is kept of a user beside the state: when meta was last written, Unix milliseconds. */
export interface Stored {
  state: UserState
  touched: number
}

export function userPrefix(user: string): Buffer {
  const name = Buffer.from(user, 'utf16le')
  const prefix = Buffer.allocUnsafe(3 + name.length)
  prefix[0] = 0x75
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

/** Numbers in base 36; the limiter's times are kept as their distance from the latest, and the oldest row's for the maintenance. */
function encodeMeta({ state, touched }: Stored): Buffer {
  const { epoch, top, floor, unread, lastMs, parkNo, revokedBefore, limiter, rows } = state
  const oldest = rows[0] === undefined ? 0 : rowTime(rows[0])
  let text = epoch
  for (const number of [touched, oldest, top, floor, unread, lastMs, parkNo, revokedBefore]) text += ` ${number.toString(36)}`
  for (const ms of limiter) text += ` ${(lastMs - ms).toString(36)}`
  return Buffer.from(text)
}

/** The part of meta that maintenance goes by; `oldest` is the time of the oldest row, 0 when there is none. */
export function decodeAge(value: Buffer): { touched: number; oldest: number } {
  const [, touched, oldest] = value.toString('latin1', 0, 40).split(' ')
  return { touched: Number.parseInt(touched as string, 36), oldest: Number.parseInt(oldest as string, 36) }
}

function decodeMeta(value: Buffer, stored: Stored): void {
  const { state } = stored
  const [epoch, ...texts] = value.toString('latin1').split(' ')
  const [touched, , top, floor, unread, lastMs, parkNo, revokedBefore, ...limiter] = texts.map((text) => Number.parseInt(text, 36))
  const numbers = { top, floor, unread, lastMs, parkNo, revokedBefore } as Record<string, number>
  Object.assign(state, numbers, { epoch, limiter: limiter.map((distance) => (lastMs as number) - distance) })
  stored.touched = touched as number
}

function encodeCursors(cursors: Map<string, Cursor>): Buffer {
  return Buffer.from(JSON.stringify([...cursors].map(([device, { position, at }]) => [device, position, at])))
}

function decodeCursors(value: Buffer): Map<string, Cursor> {
  const list = JSON.parse(value.toString()) as [string, Cursor['position'], number][]
  return new Map(list.map(([device, position, at]) => [device, { position, at }]))
}

function encodeParked({ halfLife, row }: Parked): Buffer {
  const value = Buffer.allocUnsafe(NUMBER + row.length)
  value.writeUIntBE(halfLife, 0, NUMBER)
  row.copy(value, NUMBER)
  return value
}

/** The state of a user from all entries of the user's range. */
export function decodeUser(prefix: Buffer, entries: [Buffer, Buffer][]): Stored {
  const stored: Stored = { state: emptyState(), touched: 0 }
  const { state } = stored
  const at = prefix.length + 1
  for (const [key, value] of entries) {
    switch (String.fromCharCode(key[prefix.length] as number)) {
      case 'a':
        decodeMeta(value, stored)
        break
      case 'c':
        state.cursors = decodeCursors(value)
        break
      case 'k':
        state.keys.set(key.toString('utf8', at), Number.parseInt(value.toString('latin1'), 36))
        break
      case 'l':
        state.rows.push(value)
        break
      case 'p':
        state.parked.push({ no: key.readUIntBE(at, NUMBER), halfLife: value.readUIntBE(0, NUMBER), row: value.subarray(NUMBER) })
        break
      case 's':
        state.states.set(key.toString('utf8', at), STATES[value[0] as number] as State)
        break
    }
  }
  return stored
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
        put(textKey(prefix, 'k', effect.key), Buffer.from(effect.place.toString(36)))
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

export function encodeVersion(): Operation {
  return { type: 'put', key: versionRange[0], value: Buffer.from(FORMAT_VERSION) }
}

/** The operation that notes whether a user has parked notifications. */
export function encodeParkedIndex(user: string, has: boolean): Operation {
  return has ? { type: 'put', key: parkedKey(user), value: EMPTY } : { type: 'del', key: parkedKey(user) }
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
