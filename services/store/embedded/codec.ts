import { type Answer, STATES, type State } from '../../protocol/index.ts'
import { logOptionsOf, NO_OPTIONS } from '../options.ts'
import { isEntry, rowId, rowTime } from '../row.ts'
import { type Cursor, type Effect, emptyState, evolve, type KeyPlace, type UserState } from '../state.ts'
import type { CheckedEntry, Operation } from './database.ts'
import * as outbox from './outbox-codec.ts'
import { checkKey, NUMBER_BYTES, numberKey, textKey } from './part-keys.ts'
import { decodeParked, decodeRow, decodeScheduled, encodeParked, encodeRow, encodeScheduled } from './row-codec.ts'
import { type Counts, countsOf, damageIn, type UserDamage } from './user-damage.ts'

/**
 * The layout of the data folder, by key:
 *
 *     'w' | length of the user (2) | user | part (1) | rest    the entries of one user, in one range
 *     'd' | user                                               an index of the users with parked notifications
 *     't' | user                                               the nearest expiry, delivery or check of the user (8, a double)
 *     'h' | user                                               the time of the user's nearest call in each lane
 *     'a' …                                                    topics and broadcasts: see `audience-codec.ts`
 *     'y' | name                                               a secret
 *     'n'                                                      the number of the latest write
 *     'x'                                                      the latest damage: JSON, see `DamageRecord`
 *     'v'                                                      the version of the format, without a checksum
 *
 * Each value but the version begins with a CRC-32 of its key and the rest of the value. A user is encoded in UTF-16, because UTF-8 has no encoding
 * for strings that are not well formed.
 *
 * Parts: `a` meta, the first key of a user · `c` cursors · `j` offset (6), kind -> check · `k` idempotency key -> place ·
 * `l` offset (6) -> row with its options · `o` notification id -> answer · `p` turn (6) -> parked notification ·
 * `q` turn (6) -> scheduled notification · `r` number (6) -> call · `s` notification id -> state · `u` device -> push subscription ·
 * `v` offset (6) -> receipts.
 * Format 4 had no receipts, topics and broadcasts. Format 3 had the options of a notification beside its answer, and no checks, calls and push subscriptions; format 2 had no options, answers and
 * scheduled notifications either. Format 1 had 'u' for 'w', neither checksums nor the counts in meta, and rows without tags: see `upgrade.ts`.
 */
export const FORMAT_VERSION = '5'

export const versionRange: [Buffer, Buffer] = [Buffer.from('v'), Buffer.from('w')]
export const usersRange: [Buffer, Buffer] = [Buffer.from('w'), Buffer.from('x')]
export const numberRange: [Buffer, Buffer] = [Buffer.from('n'), Buffer.from('o')]
export const damageRange: [Buffer, Buffer] = [Buffer.from('x'), Buffer.from('y')]

/** Written as their index in the list: the order must never change. */
const PLACES: KeyPlace['in'][] = ['log', 'parked', 'recalled', 'scheduled']
/**
 * Begins the numbers in meta that users without options, answers, scheduled notifications, calls, push subscriptions and an erasure do not have.
 */
const MORE_COUNTS = ' + '
/** The counts behind it, in their order, and the time of the erasure. An earlier format ends before those that it had not. */
const MORE_NAMES = ['options', 'answers', 'scheduled', 'scheduledNos', 'calls', 'callNos', 'subscriptions', 'checks', 'receipts'] as const

/** A user as the data folder holds them. */
export interface StoredUser {
  state: UserState
  /** Time of the last write of meta, Unix milliseconds. */
  touched: number
  /** The generation of the data folder (see `DamageRecord`) when meta was last written. */
  generation: number
}

/** Damage that may have taken writes of any user: each user who was last written before it may have lost their newest rows. */
export interface DamageRecord {
  /** The number of times that damage was found. */
  generation: number
  /** Time at which the damage was found, Unix milliseconds. */
  at: number
  /** The damaged files, and the places in them. */
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

/** Returns the range of a user's entries. */
export function userRange(prefix: Buffer): [Buffer, Buffer] {
  return [prefix, Buffer.concat([prefix, Buffer.from([0xff])])]
}

/** Encodes deletions of two keys that never exist, at both ends of a user's range. `Session.compact` says why. */
export function encodeRangeEnds(prefix: Buffer): Operation[] {
  return [0x62, 0xfe].map((part) => ({ type: 'del', key: Buffer.concat([prefix, Buffer.from([part])]) }))
}

/** Returns the user of a key within `usersRange`. */
export function userOf(key: Buffer): string {
  return key.toString('utf16le', 3, 3 + key.readUInt16BE(1))
}

export function secretKey(name: string): Buffer {
  return Buffer.from(`y${name}`)
}

/** Index of the chain among the words of meta after the epoch. */
const CHAIN_INDEX = 13

/**
 * Encodes meta: words with a space between them, numbers in base 36. Times of the limiter are written as their distance from the latest time.
 * The time of the oldest row and the number of parked notifications are there for `decodeAge`.
 */
function encodeMeta({ state, touched, generation }: StoredUser): Buffer {
  const { epoch, chain, top, floor, unread, lastMs, parkNo, revokedBefore, limiter, rows } = state
  const { parked, parkedNos, states, keys, ...others } = countsOf(state)
  const oldest = rows[0] === undefined ? 0 : rowTime(rows[0])
  let text = epoch
  for (const number of [touched, oldest, parked, top, floor, unread, lastMs, parkNo, revokedBefore]) text += ` ${number.toString(36)}`
  for (const number of [generation, parkedNos, states, keys]) text += ` ${number.toString(36)}`
  text += ` ${chain}`
  for (const ms of limiter) text += ` ${(lastMs - ms).toString(36)}`
  let hasMore = state.erasedAt > 0
  for (const name of MORE_NAMES) if (others[name] > 0) hasMore = true
  if (hasMore) {
    text += MORE_COUNTS
    for (const name of MORE_NAMES) text += `${others[name].toString(36)} `
    text += state.erasedAt.toString(36)
  }
  return Buffer.from(text)
}

/** Decodes the words of meta that tell whether a user needs upkeep. `oldest` is the time of the oldest row; 0 if there is none. */
export function decodeAge(value: Buffer): { touched: number; oldest: number; parked: number } {
  const [, touched, oldest, parked] = value
    .toString('latin1', 0, 60)
    .split(' ')
    .map((text) => Number.parseInt(text, 36))
  return { touched: touched as number, oldest: oldest as number, parked: parked as number }
}

/** Decodes meta into the user. Returns undefined, and leaves the user as they are, if meta is malformed. */
function decodeMeta(value: Buffer, stored: StoredUser): Counts | undefined {
  const { state } = stored
  const [common = '', more = '0'] = value.toString('latin1').split(MORE_COUNTS)
  const others = more.split(' ').map((text) => Number.parseInt(text, 36))
  const [epoch, ...texts] = common.split(' ')
  const chain = texts.splice(CHAIN_INDEX, 1)[0]
  const numbers = texts.map((text) => Number.parseInt(text, 36))
  if (numbers.length < CHAIN_INDEX || chain === undefined || numbers.some((number) => !Number.isSafeInteger(number))) return undefined
  const [touched, , parked, top, floor, unread, lastMs, parkNo, revokedBefore, generation, parkedNos, states, keys, ...limiter] = numbers
  const erasedAt = others[MORE_NAMES.length] ?? 0
  const known = { top, floor, unread, lastMs, parkNo, revokedBefore, erasedAt } as Record<string, number>
  Object.assign(state, known, { epoch, chain, limiter: limiter.map((distance) => (lastMs as number) - distance) })
  stored.touched = touched as number
  stored.generation = generation as number
  return { parked, parkedNos, states, keys, ...Object.fromEntries(MORE_NAMES.map((name, index) => [name, others[index] ?? 0])) } as Counts
}

function encodeCursors(cursors: Map<string, Cursor>): Buffer {
  return Buffer.from(JSON.stringify([...cursors].map(([device, { position, at }]) => [device, position, at])))
}

function decodeCursors(value: Buffer): Map<string, Cursor> {
  const list = JSON.parse(value.toString()) as [string, Cursor['position'], number][]
  return new Map(list.map(([device, position, at]) => [device, { position, at }]))
}

export function encodePlace(place: KeyPlace): Buffer {
  const text = `${PLACES.indexOf(place.in)}${place.body} ${place.at.toString(36)}`
  return Buffer.from(place.deliverAt === 0 ? text : `${text} ${place.deliverAt.toString(36)}`)
}

function decodePlace(value: Buffer): KeyPlace {
  const [body = '', at = '', deliverAt = '0'] = value.toString('latin1', 1).split(' ')
  const place = PLACES[Number(value.toString('latin1', 0, 1))] as KeyPlace['in']
  return { in: place, at: Number.parseInt(at, 36), body, deliverAt: Number.parseInt(deliverAt, 36) }
}

export function encodeAnswer(answer: Answer): Buffer {
  return Buffer.from(JSON.stringify(answer))
}

function loadAnswer(state: UserState, id: string, value: Buffer): void {
  if (state.options.has(id)) evolve(state, { type: 'answer', id, answer: JSON.parse(value.toString()) as Answer })
}

function loadRow(state: UserState, offset: number, value: Buffer): void {
  const { options, row } = decodeRow(value)
  state.rows.push(row)
  if (!isEntry(row)) state.changes += 1
  if (options !== NO_OPTIONS) evolve(state, { type: 'options', id: rowId(row), options: logOptionsOf(options, offset) })
}

/** Decodes a user from the entries of their range. Damaged parts are left out of the state, and described by `damage`. */
export function decodeUser(prefix: Buffer, entries: CheckedEntry[]): StoredUser & { damage: UserDamage | undefined } {
  const stored: StoredUser = { state: emptyState(), touched: 0, generation: 0 }
  const { state } = stored
  const at = prefix.length + 1
  const offsets: number[] = []
  const badParts: string[] = []
  let counts: Counts | undefined
  for (const [key, value] of entries) {
    const part = String.fromCharCode(key[prefix.length] as number)
    if (value === undefined) {
      badParts.push(part)
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
        offsets.push(key.readUIntBE(at, NUMBER_BYTES))
        loadRow(state, offsets.at(-1) as number, value)
        break
      case 'o':
        loadAnswer(state, key.toString('utf8', at), value)
        break
      case 'p':
        evolve(state, { type: 'park', parked: decodeParked(key.readUIntBE(at, NUMBER_BYTES), value) })
        break
      case 'q':
        evolve(state, { type: 'schedule', scheduled: decodeScheduled(key.readUIntBE(at, NUMBER_BYTES), value) })
        break
      case 'j':
        evolve(state, { type: 'check', check: outbox.decodeCheck(key.readUIntBE(at, NUMBER_BYTES), value) })
        break
      case 'r':
        evolve(state, { type: 'call', call: outbox.decodeCall(key.readUIntBE(at, NUMBER_BYTES), value) })
        break
      case 'u':
        evolve(state, { type: 'subscribe', subscription: outbox.decodeSubscription(value) })
        break
      case 'v':
        state.receipts.set(key.readUIntBE(at, NUMBER_BYTES), outbox.decodeReceipts(value))
        break
      case 's':
        evolve(state, { type: 'state', id: key.toString('utf8', at), state: STATES[value[0] as number] as State })
        break
    }
  }
  state.keys = new Map([...state.keys].sort(([, one], [, other]) => one.at - other.at))
  const damage = damageIn(state, { entries, badParts, offsets, counts })
  return { ...stored, damage }
}

/**
 * Encodes the effects of a step as operations.
 *
 * Meta is written if anything but cursors changed, or if there are no effects: the user is in use.
 *
 * @param before the ends of the log before the step
 * @param after the user after the step
 */
export function encodeEffects(prefix: Buffer, before: { top: number; floor: number }, after: StoredUser, effects: Effect[]): Operation[] {
  const operations: Operation[] = []
  const put = (key: Buffer, value: Buffer): number => operations.push({ type: 'put', key, value })
  const del = (key: Buffer): number => operations.push({ type: 'del', key })
  let { top, floor } = before
  let appended: Extract<Operation, { type: 'put' }> | undefined
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
        appended = { type: 'put', key: numberKey(prefix, 'l', top), value: effect.row }
        operations.push(appended)
        break
      case 'replace':
        put(numberKey(prefix, 'l', effect.offset), effect.row)
        break
      case 'trim':
        for (; floor < effect.floor; floor++) del(numberKey(prefix, 'l', floor + 1))
        for (const id of effect.ids) del(textKey(prefix, 's', id))
        for (const id of effect.answeredIds) del(textKey(prefix, 'o', id))
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
      case 'schedule':
        put(numberKey(prefix, 'q', effect.scheduled.no), encodeScheduled(effect.scheduled))
        break
      case 'unschedule':
        del(numberKey(prefix, 'q', effect.no))
        break
      case 'options':
        // The step appended the row before. One write holds both.
        if (appended !== undefined) appended.value = encodeRow({ level: 0, options: effect.options, row: appended.value })
        break
      case 'dropOptions':
        if (effect.isAnswered) del(textKey(prefix, 'o', effect.id))
        break
      case 'answer':
        put(textKey(prefix, 'o', effect.id), encodeAnswer(effect.answer))
        break
      case 'key':
        put(textKey(prefix, 'k', effect.key), encodePlace(effect.place))
        break
      case 'forget':
        for (const key of effect.keys) del(textKey(prefix, 'k', key))
        break
      case 'check':
        put(checkKey(prefix, effect.check), outbox.encodeCheck(effect.check))
        break
      case 'endCheck':
        del(checkKey(prefix, effect))
        break
      case 'call':
        put(numberKey(prefix, 'r', effect.call.no), outbox.encodeCall(effect.call))
        break
      case 'endCall':
        del(numberKey(prefix, 'r', effect.no))
        break
      case 'subscribe':
        put(textKey(prefix, 'u', effect.subscription.deviceId), outbox.encodeSubscription(effect.subscription))
        break
      case 'receipts':
        if (effect.receipts.length === 0) del(numberKey(prefix, 'v', effect.offset))
        else put(numberKey(prefix, 'v', effect.offset), outbox.encodeReceipts(effect.receipts))
        break
      case 'unsubscribe':
        del(textKey(prefix, 'u', effect.deviceId))
        break
      case 'erase':
        for (const key of keysOf(prefix, effect.erased)) del(key)
        break
    }
  }
  if (effects.some((effect) => effect.type === 'cursor')) put(textKey(prefix, 'c'), encodeCursors(after.state.cursors))
  if (!cursorsOnly || effects.length === 0) put(textKey(prefix, 'a'), encodeMeta(after))
  return operations
}

/** Encodes the version. It has no checksum, and so is not written through `CheckedDatabase`. */
export function encodeVersion(): Operation {
  return { type: 'put', key: versionRange[0], value: Buffer.from(FORMAT_VERSION) }
}

/** Encodes a damaged user without meta, which the step that follows writes: their entries are removed, and the parts that were kept are written. */
export function encodeKeptParts(prefix: Buffer, state: UserState, damagedKeys: Buffer[]): Operation[] {
  const operations: Operation[] = damagedKeys.map((key) => ({ type: 'del', key }))
  const put = (key: Buffer, value: Buffer): number => operations.push({ type: 'put', key, value })
  if (state.cursors.size > 0) put(textKey(prefix, 'c'), encodeCursors(state.cursors))
  for (const parked of state.parked) put(numberKey(prefix, 'p', parked.no), encodeParked(parked))
  for (const scheduled of state.scheduled) put(numberKey(prefix, 'q', scheduled.no), encodeScheduled(scheduled))
  for (const [key, place] of state.keys) put(textKey(prefix, 'k', key), encodePlace(place))
  for (const call of state.calls.values()) put(numberKey(prefix, 'r', call.no), outbox.encodeCall(call))
  for (const [device, subscription] of state.subscriptions) put(textKey(prefix, 'u', device), outbox.encodeSubscription(subscription))
  return operations
}

export function encodeDamage(record: DamageRecord): Operation {
  return { type: 'put', key: damageRange[0], value: Buffer.from(JSON.stringify(record)) }
}

export function decodeDamage(value: Buffer): DamageRecord {
  return JSON.parse(value.toString()) as DamageRecord
}

/** Encodes the removal of a user who has neither rows nor parked notifications. */
export function encodeRemoval(prefix: Buffer, state: UserState): Operation[] {
  return [textKey(prefix, 'a'), ...keysOf(prefix, state)].map((key) => ({ type: 'del', key }))
}

/** Returns the keys of everything of a user but meta. */
function keysOf(prefix: Buffer, state: UserState): Buffer[] {
  const { answers, calls, checks, floor, keys, parked, receipts, rows, scheduled, states, subscriptions } = state
  return [
    textKey(prefix, 'c'),
    ...checks.map((check) => checkKey(prefix, check)),
    ...[...keys.keys()].map((key) => textKey(prefix, 'k', key)),
    ...rows.map((_row, index) => numberKey(prefix, 'l', floor + 1 + index)),
    ...[...answers.keys()].map((id) => textKey(prefix, 'o', id)),
    ...parked.map(({ no }) => numberKey(prefix, 'p', no)),
    ...scheduled.map(({ no }) => numberKey(prefix, 'q', no)),
    ...[...calls.keys()].map((no) => numberKey(prefix, 'r', no)),
    ...[...states.keys()].map((id) => textKey(prefix, 's', id)),
    ...[...subscriptions.keys()].map((device) => textKey(prefix, 'u', device)),
    ...[...receipts.keys()].map((offset) => numberKey(prefix, 'v', offset))
  ]
}
