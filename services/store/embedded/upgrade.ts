import { KEY_LENGTH } from '../../ids.ts'
import type { Answer } from '../../protocol/index.ts'
import { NO_OPTIONS } from '../options.ts'
import { digestIn, NO_TAG, rowId, rowId8, rowKind } from '../row.ts'
import type { KeyPlace, Parked } from '../state.ts'
import { seal, unseal } from './checksum.ts'
import { encodeAnswer, encodePlace, userRange, usersRange } from './codec.ts'
import type { Database, Operation } from './database.ts'
import { encodeParked, encodeRow } from './row-codec.ts'

/** Start of the id in a row, and length of the header of a row of format 1, bytes. */
const ID_START = 14
const OLD_HEADER = 34

/** The range of the users in format 1. */
const oldUsersRange: [Buffer, Buffer] = [Buffer.from('u'), Buffer.from('v')]
const parkedRange: [Buffer, Buffer] = [Buffer.from('d'), Buffer.from('e')]

/**
 * Upgrades a folder of format 1 to format 2. One write moves one user, so that an interrupted upgrade continues where it stopped. The caller writes the
 * version afterwards.
 */
export async function upgradeFrom1(database: Database): Promise<void> {
  let [from, to] = oldUsersRange
  for (;;) {
    const [first] = await database.range(from, to, 1)
    if (first === undefined) break
    const prefix = first[0].subarray(0, 3 + first[0].readUInt16BE(1))
    const [start, end] = userRange(prefix)
    await database.write(moveUser(prefix, await database.range(start, end)))
    from = end
  }
  const parked = await database.range(...parkedRange)
  await database.write(parked.map(([key, value]) => ({ type: 'put', key, value: value.length > 0 ? value : seal(key, value) })))
}

/**
 * Upgrades a folder of format 3 to format 4: the options of a notification in the log move from an entry with its answer to its row. One write
 * converts one user. An entry of format 3 is a list, and one of format 4 an object, so that an interrupted upgrade continues where it stopped. The
 * caller writes the version afterwards.
 */
export async function upgradeFrom3(database: Database): Promise<void> {
  let [from, to] = usersRange
  for (;;) {
    const [first] = await database.range(from, to, 1)
    if (first === undefined) return
    const prefix = first[0].subarray(0, 3 + first[0].readUInt16BE(1))
    const operations: Operation[] = []
    for (const entry of await database.range(partKey(prefix, 'o'), partKey(prefix, 'p'))) {
      operations.push(...(await moveOptions(database, prefix, entry)))
    }
    if (operations.length > 0) await database.write(operations)
    from = userRange(prefix)[1]
  }
}

/** Options of a notification in format 3: offset, time of expiry, collapse key, actions, and the answer, or null. */
type OldOptions = [number, number, string, string[], Answer | null]

/** Returns the operations that move the options of an entry. There are none if the entry is damaged, if its row is, or if it was moved before. */
async function moveOptions(database: Database, prefix: Buffer, [key, sealed]: [Buffer, Buffer]): Promise<Operation[]> {
  const value = unseal(key, sealed)
  const old = value === undefined ? undefined : (JSON.parse(value.toString()) as OldOptions | Answer)
  if (!Array.isArray(old)) return []
  const [offset, expiresAt, collapseKey, actions, answer] = old
  const rowKey = partKey(prefix, 'l', offset)
  const [stored] = await database.range(rowKey, Buffer.concat([rowKey, Buffer.from([0])]), 1)
  const row = stored === undefined ? undefined : unseal(...stored)
  if (row === undefined) return []
  const put = (key: Buffer, value: Buffer): Operation => ({ type: 'put', key, value: seal(key, value) })
  return [
    put(rowKey, encodeRow({ level: 0, options: { expiresAt, collapseKey, actions }, row })),
    answer === null ? { type: 'del', key } : put(key, encodeAnswer(answer))
  ]
}

/** Returns the beginning of the keys of a user's part, or the key of an offset in it. */
function partKey(prefix: Buffer, part: string, offset?: number): Buffer {
  const rest = Buffer.alloc(offset === undefined ? 0 : 6)
  if (offset !== undefined) rest.writeUIntBE(offset, 0, 6)
  return Buffer.concat([prefix, Buffer.from(part), rest])
}

function moveUser(prefix: Buffer, entries: [Buffer, Buffer][]): Operation[] {
  const at = prefix.length + 1
  const rows = new Map(
    entries.filter(([key]) => partOf(key, prefix) === 'l').map(([key, value]) => [key.readUIntBE(at, 6), withTag(value)])
  )
  const parked = new Map(
    entries
      .filter(([key]) => partOf(key, prefix) === 'p')
      .map(([key, value]) => [key.readUIntBE(at, 6), convertParked(key.readUIntBE(at, 6), value)])
  )
  const operations: Operation[] = entries.map(([key]) => ({ type: 'del', key }))
  const counts = { p: parked.size, s: 0, k: 0 }
  let meta: [Buffer, Buffer] | undefined
  for (const [key, value] of entries) {
    const newKey = Buffer.from(key)
    newKey[0] = 0x77
    const put = (value: Buffer): number => operations.push({ type: 'put', key: newKey, value: seal(newKey, value) })
    switch (partOf(key, prefix)) {
      case 'a':
        meta = [newKey, value]
        break
      case 'l':
        put(rows.get(key.readUIntBE(at, 6)) as Buffer)
        break
      case 'p':
        put(encodeParked(parked.get(key.readUIntBE(at, 6)) as Parked))
        break
      case 'k': {
        const place = convertPlace(key.toString('utf8', at), Number.parseInt(value.toString('latin1'), 36), rows, parked)
        if (place === undefined) break
        counts.k += 1
        put(encodePlace(place))
        break
      }
      case 's':
        counts.s += 1
        put(value)
        break
      default:
        put(value)
    }
  }
  if (meta !== undefined) {
    const [key, value] = meta
    const parkedNos = [...parked.keys()].reduce((sum, no) => sum + no, 0)
    operations.push({ type: 'put', key, value: seal(key, convertMeta(value, counts, parkedNos, [...rows.values()].at(-1))) })
  }
  return operations
}

function partOf(key: Buffer, prefix: Buffer): string {
  return String.fromCharCode(key[prefix.length] as number)
}

/** Adds a tag to a row of format 1: the first 8 characters of its id, with which its event id ended, so that the event id stays the same. */
function withTag(row: Buffer): Buffer {
  return Buffer.concat([row.subarray(0, OLD_HEADER), row.subarray(ID_START, ID_START + 8), row.subarray(OLD_HEADER)])
}

/** Converts a parked notification. Format 1: half-life in whole seconds (6 bytes), row. */
function convertParked(no: number, value: Buffer): Parked {
  const row = value.subarray(6)
  return {
    no,
    level: 0,
    options: NO_OPTIONS,
    halfLife: value.readUIntBE(0, 6),
    row: Buffer.concat([row.subarray(0, OLD_HEADER), Buffer.from(NO_TAG), row.subarray(OLD_HEADER)])
  }
}

/**
 * Converts the place of an idempotency key. Format 1: the offset, or minus the number of the parked notification. Returns undefined if the row was
 * trimmed: the body of the request is then not known.
 */
function convertPlace(key: string, place: number, rows: Map<number, Buffer>, parked: Map<number, Parked>): KeyPlace | undefined {
  const row = place > 0 ? rows.get(place) : parked.get(-place)?.row
  if (row === undefined) return undefined
  const ids = rowKind(row) === 'd' ? digestIn(row).ids : [rowId(row)]
  const id = ids.find((candidate) => candidate.startsWith(key))
  return id === undefined ? undefined : { in: place > 0 ? 'log' : 'parked', at: Math.abs(place), body: id.slice(KEY_LENGTH), deliverAt: 0 }
}

/** Converts meta. Format 1: epoch, touched, oldest, top, floor, unread, latest time, park number, revoked before, limiter. */
function convertMeta(value: Buffer, counts: { p: number; s: number; k: number }, parkedNos: number, last: Buffer | undefined): Buffer {
  const words = value.toString('latin1').split(' ')
  const numbers = [0, parkedNos, counts.s, counts.k].map((number) => number.toString(36))
  const chain = last === undefined ? (words[0] as string) : rowId8(last)
  return Buffer.from([...words.slice(0, 3), counts.p.toString(36), ...words.slice(3, 9), ...numbers, chain, ...words.slice(9)].join(' '))
}
