import type { BroadcastState } from '../broadcast-step.ts'
import type { CheckedEntry, Operation } from './database.ts'

/**
 * The entries of topics and broadcasts in the data folder, by key. A name in the middle of a key has its length (2) before it; names are in UTF-16.
 *
 *     'am' | topic | name              a member
 *     'ar' | name | topic              the same, by member
 *     'ab' | id                        a broadcast: JSON
 *     'ac' | id | number (4)           names of the audience: JSON
 *     'ak' | queue | key               the id of the broadcast that an idempotency key started
 *     'aq' | queue | number (6)        the id of a broadcast that waits
 */
export const audienceRange: Range = [Buffer.from('a'), Buffer.from('b')]

/** A broadcast as the data folder holds it. */
export interface StoredBroadcast extends BroadcastState {
  /** The key from which the search for users goes on, hexadecimal, while the audience is not complete. It has the name of a user. */
  searchFrom?: string
}

export type Range = [from: Buffer, to: Buffer]

/** Number of the first broadcast in a queue. A recall takes a number below. */
export const FIRST_NUMBER = 2 ** 40

const NUMBER_BYTES = 6
const CHUNK_BYTES = 4
const KIND_BYTES = 2
const LENGTH_BYTES = 2
const EMPTY = Buffer.alloc(0)

/** Returns the beginning of the keys of a kind and of a name. */
function prefixOf(kind: string, name: string): Buffer {
  const text = Buffer.from(name, 'utf16le')
  const length = Buffer.allocUnsafe(LENGTH_BYTES)
  length.writeUInt16BE(text.length)
  return Buffer.concat([Buffer.from(kind), length, text])
}

/** Returns the range of the keys with a prefix. */
function rangeOf(prefix: Buffer): Range {
  let last = prefix.length - 1
  while (prefix[last] === 0xff) last -= 1
  const end = Buffer.from(prefix.subarray(0, last + 1))
  end[last] = (end[last] as number) + 1
  return [prefix, end]
}

function memberKey(topic: string, name: string): Buffer {
  return Buffer.concat([prefixOf('am', topic), Buffer.from(name, 'utf16le')])
}

function membershipKey(name: string, topic: string): Buffer {
  return Buffer.concat([prefixOf('ar', name), Buffer.from(topic, 'utf16le')])
}

function broadcastKey(id: string): Buffer {
  return Buffer.from(`ab${id}`)
}

function chunkKey(id: string, number: number): Buffer {
  const bytes = Buffer.allocUnsafe(CHUNK_BYTES)
  bytes.writeUInt32BE(number)
  return Buffer.concat([Buffer.from(`ac${id}`), bytes])
}

function startKey(queue: string, key: string): Buffer {
  return Buffer.concat([prefixOf('ak', queue), Buffer.from(key)])
}

function queueKey(queue: string, number: number): Buffer {
  const bytes = Buffer.allocUnsafe(NUMBER_BYTES)
  bytes.writeUIntBE(number, 0, NUMBER_BYTES)
  return Buffer.concat([prefixOf('aq', queue), bytes])
}

/** Returns the range that holds one key. */
function only(key: Buffer): Range {
  return [key, Buffer.concat([key, Buffer.alloc(1)])]
}

export const ranges = {
  broadcasts: [Buffer.from('ab'), Buffer.from('ac')] as Range,
  chunks: [Buffer.from('ac'), Buffer.from('ad')] as Range,
  keys: [Buffer.from('ak'), Buffer.from('al')] as Range,
  queues: [Buffer.from('aq'), Buffer.from('ar')] as Range,
  member: (topic: string, name: string): Range => only(memberKey(topic, name)),
  /** Members of a topic, from behind a name on. */
  members: (topic: string, after?: string): Range => {
    const [from, to] = rangeOf(prefixOf('am', topic))
    return [after === undefined ? from : only(memberKey(topic, after))[1], to]
  },
  memberships: (name: string): Range => rangeOf(prefixOf('ar', name)),
  broadcast: (id: string): Range => only(broadcastKey(id)),
  /** Names of the audience, from a chunk on. */
  audience: (id: string, number = 0): Range => [chunkKey(id, number), chunkKey(id, 0xffffffff)],
  start: (queue: string, key: string): Range => only(startKey(queue, key)),
  queue: (queue: string): Range => rangeOf(prefixOf('aq', queue)),
  /** All queues behind the one of a key. */
  queuesBehind: (key: Buffer): Range => [rangeOf(key.subarray(0, key.length - NUMBER_BYTES))[1], ranges.queues[1]]
}

/** Decodes the end of a key: the name behind another name. */
export function lastNameOf(key: Buffer): string {
  return key.toString('utf16le', KIND_BYTES + LENGTH_BYTES + key.readUInt16BE(KIND_BYTES))
}

/** Decodes the id in the key of a broadcast, or of a part of its audience. */
export function idIn(key: Buffer): string {
  return key.toString('latin1', KIND_BYTES, KIND_BYTES + 22)
}

/** Decodes the number in the key of a part of an audience. */
export function chunkNumberIn(key: Buffer): number {
  return key.readUInt32BE(key.length - CHUNK_BYTES)
}

export function numberIn(key: Buffer): number {
  return key.readUIntBE(key.length - NUMBER_BYTES, NUMBER_BYTES)
}

export function decodeBroadcast([entry]: CheckedEntry[]): StoredBroadcast | undefined {
  if (entry?.[1] === undefined) return undefined
  const state = JSON.parse(entry[1].toString()) as StoredBroadcast
  return { ...state, publish: { ...state.publish, options: state.publish.options } }
}

export function decodeNames(value: Buffer | undefined): string[] {
  return value === undefined ? [] : (JSON.parse(value.toString()) as string[])
}

export const encode = {
  join: (topic: string, name: string): Operation[] => [
    { type: 'put', key: memberKey(topic, name), value: EMPTY },
    { type: 'put', key: membershipKey(name, topic), value: EMPTY }
  ],
  leave: (topic: string, name: string): Operation[] => [
    { type: 'del', key: memberKey(topic, name) },
    { type: 'del', key: membershipKey(name, topic) }
  ],
  broadcast: (state: StoredBroadcast): Operation => ({
    type: 'put',
    key: broadcastKey(state.id),
    value: Buffer.from(JSON.stringify(state))
  }),
  chunk: (id: string, number: number, names: string[]): Operation => ({
    type: 'put',
    key: chunkKey(id, number),
    value: Buffer.from(JSON.stringify(names))
  }),
  start: (queue: string, key: string, id: string): Operation => ({ type: 'put', key: startKey(queue, key), value: Buffer.from(id) }),
  wait: (queue: string, number: number, id: string): Operation => ({ type: 'put', key: queueKey(queue, number), value: Buffer.from(id) }),
  remove: (key: Buffer): Operation => ({ type: 'del', key })
}
