import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { uncompress } from './snappy.ts'

/**
 * Checks LevelDB's files without opening the database.
 *
 * LevelDB skips damaged parts of its log silently, and its binding offers no option to verify the checksums of table blocks. So both formats are read
 * here: the log (https://github.com/google/leveldb/blob/main/doc/log_format.md) and the table (table_format.md beside it).
 */

/** Damage of a file of the database. */
export interface FileDamage {
  /** Name of the file in the folder. */
  file: string
  /** Place in the file, bytes. */
  offset: number
  reason: string
  /** The damage is at the end of the file. A crash during a write leaves the same bytes. */
  tail: boolean
}

const LOG_BLOCK = 32_768
const LOG_HEADER = 7
const TABLE_FOOTER = 48
const BLOCK_TRAILER = 5
const TABLE_MAGIC = Buffer.from('57fb808b247547db', 'hex')
const MASK_DELTA = 0xa282ead8

const CRC32C = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

function crc32c(bytes: Buffer, from: number, to: number): number {
  let crc = 0xffffffff
  for (let at = from; at < to; at++) crc = (CRC32C[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** LevelDB stores checksums masked. */
function unmask(masked: number): number {
  const rotated = (masked - MASK_DELTA) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

export function isTable(file: string): boolean {
  return /\.(ldb|sst)$/.test(file)
}

export async function filesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return names.filter((name) => /^(CURRENT|MANIFEST-\d+|\d+\.(log|ldb|sst))$/.test(name)).sort()
}

/** Returns the damage of the write-ahead logs of a folder, in order. */
export async function checkLogs(folder: string): Promise<FileDamage[]> {
  const damage: FileDamage[] = []
  for (const file of await filesOf(folder)) if (file.endsWith('.log')) damage.push(...checkLog(file, await readWhole(join(folder, file))))
  return damage
}

/** Returns the names of the table files of a folder. */
export async function tablesOf(folder: string): Promise<string[]> {
  return (await filesOf(folder)).filter(isTable)
}

/**
 * Returns the damage of tables of an open database. The event loop runs between two tables.
 *
 * @param names the tables before the database was opened. A crash during a compaction leaves an incomplete table, which LevelDB deletes on
 * opening: a table that no longer exists is skipped
 */
export async function checkTables(folder: string, names: string[]): Promise<FileDamage[]> {
  const damage: FileDamage[] = []
  for (const file of names) {
    try {
      damage.push(...(await checkTable(folder, file, undefined)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return damage
}

/** Returns the damage of all files of a folder. The event loop runs after each 64 blocks of a table. */
export async function checkFiles(folder: string, signal?: AbortSignal): Promise<FileDamage[]> {
  const files = await filesOf(folder)
  const damage: FileDamage[] = []
  if (files.length > 0 && !files.includes('CURRENT'))
    damage.push({ file: 'CURRENT', offset: 0, reason: 'the file is missing', tail: false })
  for (const file of files) {
    signal?.throwIfAborted()
    if (file === 'CURRENT') damage.push(...checkCurrent(files, await readWhole(join(folder, file))))
    else if (isTable(file)) damage.push(...(await checkTable(folder, file, signal)))
    else damage.push(...checkLog(file, await readWhole(join(folder, file))))
  }
  return damage
}

/** Returns the size of all table files of a folder, bytes. */
export function tableBytes(folder: string): Promise<number> {
  return bytesOf(folder, isTable)
}

/** Returns the size of all write-ahead logs of a folder, bytes. */
export function logBytes(folder: string): Promise<number> {
  return bytesOf(folder, (file) => file.endsWith('.log'))
}

async function bytesOf(folder: string, isWanted: (file: string) => boolean): Promise<number> {
  const sizes = (await filesOf(folder)).filter(isWanted).map(async (file) => (await stat(join(folder, file))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

async function readWhole(path: string): Promise<Buffer> {
  const handle = await open(path, 'r')
  return await handle.readFile().finally(() => handle.close())
}

function checkCurrent(files: string[], bytes: Buffer): FileDamage[] {
  const name = bytes.toString('latin1').replace(/\n$/, '')
  if (files.includes(name) && name.startsWith('MANIFEST-')) return []
  return [{ file: 'CURRENT', offset: 0, reason: 'the manifest that it names is missing', tail: false }]
}

/** Checks each record of a log. After a damaged record LevelDB drops the rest of the block; the check continues with the next block as well. */
export function checkLog(file: string, bytes: Buffer): FileDamage[] {
  const damage: FileDamage[] = []
  for (let at = 0; at + LOG_HEADER <= bytes.length; ) {
    const blockEnd = at - (at % LOG_BLOCK) + LOG_BLOCK
    if (blockEnd - at < LOG_HEADER) {
      at = blockEnd
      continue
    }
    const length = bytes.readUInt16LE(at + 4)
    const type = bytes[at + 6] as number
    const end = at + LOG_HEADER + length
    if (type === 0 && length === 0) {
      at = blockEnd
      continue
    }
    const reason = logRecordFault(bytes, at, end, type, blockEnd)
    if (reason === '') {
      for (const earlier of damage) earlier.tail = false
      at = end
    } else {
      damage.push({ file, offset: at, reason, tail: true })
      at = blockEnd
    }
  }
  return damage
}

function logRecordFault(bytes: Buffer, at: number, end: number, type: number, blockEnd: number): string {
  if (end > bytes.length || end > blockEnd) return 'a record is cut off'
  if (crc32c(bytes, at + 6, end) !== unmask(bytes.readUInt32LE(at))) return 'the checksum of a record does not match'
  return type > 4 ? 'a record has an unknown type' : ''
}

async function checkTable(folder: string, file: string, signal: AbortSignal | undefined): Promise<FileDamage[]> {
  const fault = (offset: number, reason: string): FileDamage => ({ file, offset, reason, tail: false })
  const bytes = await readWhole(join(folder, file))
  const footer = bytes.length - TABLE_FOOTER
  if (footer < 0 || !bytes.subarray(-8).equals(TABLE_MAGIC))
    return [fault(Math.max(0, footer), 'the table has no end: it was cut off or overwritten')]
  const reader = { at: footer }
  const meta = readHandle(bytes, reader)
  const index = readHandle(bytes, reader)
  if (meta === undefined || index === undefined) return [fault(footer, 'the end of the table is damaged')]
  const damage: FileDamage[] = []
  for (const { offset, size } of [meta, index])
    if (!isBlock(bytes, offset, size)) damage.push(fault(offset, 'the checksum of the index does not match'))
  if (damage.length > 0) return damage
  const handles = blockHandles(bytes, index)
  if (handles === undefined) return [fault(index.offset, 'the index is damaged')]
  for (const [count, { offset, size }] of handles.entries()) {
    if (!isBlock(bytes, offset, size)) damage.push(fault(offset, 'the checksum of a block does not match'))
    if (count % 64 === 63) {
      signal?.throwIfAborted()
      await turn()
    }
  }
  return damage
}

interface BlockHandle {
  offset: number
  size: number
}

function isBlock(bytes: Buffer, offset: number, size: number): boolean {
  const end = offset + size
  if (end + BLOCK_TRAILER > bytes.length) return false
  return crc32c(bytes, offset, end + 1) === unmask(bytes.readUInt32LE(end + 1))
}

function readHandle(bytes: Buffer, reader: { at: number }): BlockHandle | undefined {
  const offset = readVarint(bytes, reader)
  const size = readVarint(bytes, reader)
  return offset === undefined || size === undefined || offset + size > bytes.length ? undefined : { offset, size }
}

function readVarint(bytes: Buffer, reader: { at: number }): number | undefined {
  let value = 0
  for (let factor = 1; factor < 2 ** 49; factor *= 128) {
    const byte = bytes[reader.at++]
    if (byte === undefined) return undefined
    value += (byte & 127) * factor
    if (byte < 128) return value
  }
  return undefined
}

/** Returns the places of the blocks of a table, from its index, or undefined if the index cannot be read. */
function blockHandles(bytes: Buffer, { offset, size }: BlockHandle): BlockHandle[] | undefined {
  const stored = bytes.subarray(offset, offset + size)
  const block = bytes[offset + size] === 1 ? uncompress(stored) : stored
  if (block === undefined || block.length < 4) return undefined
  const end = block.length - 4 - 4 * block.readUInt32LE(block.length - 4)
  const handles: BlockHandle[] = []
  for (const reader = { at: 0 }; reader.at < end; ) {
    readVarint(block, reader)
    const keyBytes = readVarint(block, reader)
    const valueBytes = readVarint(block, reader)
    if (keyBytes === undefined || valueBytes === undefined) return undefined
    reader.at += keyBytes
    const at = { at: reader.at }
    const blockOffset = readVarint(block, at)
    const blockSize = readVarint(block, at)
    if (blockOffset === undefined || blockSize === undefined) return undefined
    handles.push({ offset: blockOffset, size: blockSize })
    reader.at += valueBytes
  }
  return handles
}
