import { copyFile, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { newEpoch, newId } from '../../ids.ts'
import { userHash } from '../../users.ts'
import { Machine } from '../machine.ts'
import type { StoreSettings } from '../store.ts'
import { StoreUnusable } from '../unusable.ts'
import { audienceRange } from './audience-codec.ts'
import type { CheckedDatabase } from './checked-database.ts'
import { decodeUser, encodeEffects, encodeKeptParts, userRange } from './codec.ts'
import { isCorruption, openLevel } from './database.ts'
import { describe, eachUser, type Folder, openFolder, recordDamage } from './folder.ts'
import { withFolderLock } from './folder-lock.ts'
import { checkFiles, filesOf, isTable } from './level-files.ts'

/** Entries of topics and broadcasts that are read at once. */
const TOPIC_ENTRIES = 1000

/** Settings under which a step trims nothing. */
const UNLIMITED: StoreSettings = {
  rateLimit: 0,
  rateWindowMs: 1000,
  parkedMax: Number.MAX_SAFE_INTEGER,
  scheduledMax: Number.MAX_SAFE_INTEGER,
  retentionMs: Number.MAX_SAFE_INTEGER,
  maxEntries: Number.MAX_SAFE_INTEGER,
  maxConnections: 0,
  revocationTtlMs: Number.MAX_SAFE_INTEGER
}

/** The result of an examination of a data folder. */
export interface Diagnosis {
  /** Damaged places of files, one line each. */
  files: string[]
  /** Why the database cannot be opened; '' if it can. */
  unreadable: string
  /** Writes that are missing from the database, or damage that was found earlier and whose effects remain; '' if there are none. */
  lost: string
  users: number
  rows: number
  /** Users with damaged data. A repair gives them a new log. */
  damagedUsers: { userHash: string; reason: string }[]
  /** Number of damaged entries of topics and broadcasts. A repair removes them. */
  damagedTopicEntries: number
}

/**
 * Examines the data folder of a stopped service. The folder stays unchanged: opening a database writes to it, so a copy beside the folder is
 * opened.
 *
 * @throws StoreUnusable if a service uses the folder: a copy of changing files would look damaged
 *
 * @param now Unix milliseconds
 */
export async function examine(folder: string, now: number): Promise<Diagnosis> {
  if ((await filesOf(folder)).length === 0)
    throw new StoreUnusable(`There is no database in ${folder}: set DATA_DIR to the folder of the service`)
  return await withFolderLock(folder, () => examineLocked(folder, now))
}

async function examineLocked(folder: string, now: number): Promise<Diagnosis> {
  const damage = (await checkFiles(folder)).filter(({ tail }) => !tail)
  const diagnosis: Diagnosis = {
    files: damage.map(describe),
    unreadable: '',
    lost: '',
    users: 0,
    rows: 0,
    damagedUsers: [],
    damagedTopicEntries: 0
  }
  const copy = `${folder}.examined-${process.pid}`
  try {
    await copyFolder(folder, copy)
    const opened = await openFolder(openLevel, copy, now, false)
    try {
      const inUse = await filesOf(copy)
      // LevelDB deletes, on opening, the incomplete tables that a crash during a compaction left behind: they are no damage.
      diagnosis.files = damage.filter(({ file }) => !isTable(file) || inUse.includes(file)).map(describe)
      await countUsers(opened.database, diagnosis)
      for await (const keys of damagedTopicKeys(opened.database)) diagnosis.damagedTopicEntries += keys.length
      diagnosis.lost = opened.isNewDamage ? (opened.damage?.where ?? '') : ''
    } finally {
      await opened.database.close()
    }
  } catch (error) {
    diagnosis.unreadable = (error as Error).message.replaceAll(copy, folder)
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
  return diagnosis
}

export function isSound({ files, unreadable, lost, damagedUsers, damagedTopicEntries }: Diagnosis): boolean {
  return files.length === 0 && unreadable === '' && lost === '' && damagedUsers.length === 0 && damagedTopicEntries === 0
}

/**
 * Makes a damaged folder usable. LevelDB recovers what can be read, and moves the damaged files to `lost/`. From then on every user is told that
 * notifications may be missing.
 *
 * @throws an error whose message is a sentence for the operator, if the folder is in use or cannot be written. A folder in use is not changed:
 * LevelDB's own repair takes no lock, and would move files that a service writes to
 *
 * @param now Unix milliseconds
 */
export async function repair(folder: string, diagnosis: Diagnosis, now: number): Promise<void> {
  await withFolderLock(folder, () => repairLocked(folder, diagnosis, now))
}

async function repairLocked(folder: string, { files, unreadable, lost }: Diagnosis, now: number): Promise<void> {
  if (files.length > 0 || unreadable !== '') await ClassicLevel.repair(folder)
  const opened: Folder = await openFolder(openLevel, folder, now, true)
  try {
    const where = [...files, unreadable, lost].filter((part) => part !== '').join('; ')
    let generation = opened.damage?.generation ?? 0
    if (!opened.isNewDamage && where !== '') {
      generation += 1
      await recordDamage(opened.database, { generation, at: now, where })
    }
    for await (const { prefix } of eachUser(opened.database)) await startAfresh(opened.database, prefix, generation, now)
    for await (const keys of damagedTopicKeys(opened.database)) await opened.database.write(keys.map((key) => ({ type: 'del', key })))
  } finally {
    await opened.database.close()
  }
}

/** Gives a damaged user a new log, as the store does when it loads one. */
async function startAfresh(database: CheckedDatabase, prefix: Buffer, generation: number, now: number): Promise<void> {
  const { damage, ...stored } = decodeUser(prefix, await database.range(...userRange(prefix)))
  if (damage === undefined) return
  const operations = encodeKeptParts(prefix, stored.state, damage.keys)
  const context = { now, newEpoch: newEpoch(), newId: newId(), listening: false }
  const machine = new Machine(stored.state, UNLIMITED, context)
  machine.lose()
  const after = { ...stored, touched: now, generation }
  await database.write([...operations, ...encodeEffects(prefix, { top: 0, floor: 0 }, after, machine.effects)])
}

/** Yields the keys of damaged entries of topics and broadcasts, in parts. Ends at the first part that cannot be read. */
async function* damagedTopicKeys(database: CheckedDatabase): AsyncGenerator<Buffer[]> {
  let [from, to] = audienceRange
  for (;;) {
    const entries = await database.range(from, to, TOPIC_ENTRIES).catch(() => [])
    const last = entries.at(-1)
    if (last === undefined) return
    const damaged = entries.flatMap(([key, value]) => (value === undefined ? [key] : []))
    if (damaged.length > 0) yield damaged
    from = Buffer.concat([last[0], Buffer.alloc(1)])
  }
}

async function copyFolder(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o700 })
  const files = (await readdir(from, { withFileTypes: true })).filter((entry) => entry.isFile() && entry.name !== 'LOCK')
  for (const { name } of files) await copyFile(join(from, name), join(to, name))
}

async function countUsers(database: CheckedDatabase, diagnosis: Diagnosis): Promise<void> {
  for await (const { user, prefix } of eachUser(database)) {
    diagnosis.users += 1
    const entries = await database.range(...userRange(prefix)).catch((error: unknown) => {
      if (isCorruption(error)) return undefined
      throw error
    })
    const { state, damage } = decodeUser(prefix, entries ?? [])
    diagnosis.rows += state.rows.length
    const reason = entries === undefined ? 'the entries cannot be read' : damage?.reason
    if (reason !== undefined) diagnosis.damagedUsers.push({ userHash: userHash(user), reason })
  }
}
