import { StoreUnusable } from '../unusable.ts'
import { CheckedDatabase, readChecked } from './checked-database.ts'
import {
  type DamageRecord,
  damageRange,
  decodeAge,
  decodeDamage,
  encodeDamage,
  encodeVersion,
  FORMAT_VERSION,
  numberRange,
  userOf,
  userRange,
  usersRange,
  versionRange
} from './codec.ts'
import { CommitCounter, readCommits } from './commits.ts'
import { type Database, isCorruption, type OpenDatabase, REMEDY } from './database.ts'
import { encodeParkedIndex } from './index-codec.ts'
import { checkLogs, checkTables, type FileDamage, filesOf, tableBytes, tablesOf } from './level-files.ts'
import { upgradeFrom1, upgradeFrom3 } from './upgrade.ts'

/** Total size of the tables, bytes, up to which they are checked before the folder is used. In larger folders users are checked as they are loaded. */
const CHECKED_BYTES_MAX = 64 * 1024 * 1024

/** An opened data folder. */
export interface Folder {
  database: CheckedDatabase
  /** The latest damage: users who were not loaded since may have lost rows. */
  damage: DamageRecord | undefined
  /** The damage was found by this opening. */
  isNewDamage: boolean
  /** Damaged table files. Users in them cannot be read. */
  damagedTables: FileDamage[]
}

/**
 * Opens a data folder, upgrades its format, and finds out whether writes are missing from it.
 *
 * @param now Unix milliseconds
 * @param checksTables whether to check the tables, too
 * @throws an error whose message is a sentence for the operator, if the folder is in use, damaged, of a newer format, or cannot be written
 */
export async function openFolder(open: OpenDatabase, folder: string, now: number, checksTables: boolean): Promise<Folder> {
  const logs = await checkLogs(folder)
  const counted = readCommits(folder)
  await refuseWithoutCurrent(folder, counted)
  const names = checksTables && (await tableBytes(folder)) <= CHECKED_BYTES_MAX ? await tablesOf(folder) : []
  const raw = await open(folder)
  try {
    const damagedTables = await checkTables(folder, names)
    await upgradeFormat(raw, folder)
    const written = Number((await readChecked(raw, ...numberRange, 1))[0]?.[1]?.toString() ?? 0)
    const database = new CheckedDatabase(raw, CommitCounter.open(folder, Math.max(written, counted ?? 0)))
    const stored = (await database.range(...damageRange, 1))[0]
    const known = stored?.[1] === undefined ? undefined : decodeDamage(stored[1])
    const where = [...lostWrites(logs, written, counted), ...damagedTables.map(describe)]
    if (stored !== undefined && known === undefined) where.push('the record of earlier damage')
    if (where.length === 0 || known?.where === where.join('; ')) return { database, damage: known, isNewDamage: false, damagedTables }
    const damage = { generation: (known?.generation ?? 0) + 1, at: now, where: where.join('; ') }
    await recordDamage(database, damage)
    return { database, damage, isNewDamage: true, damagedTables }
  } catch (error) {
    await raw.close()
    throw openFault(folder, error)
  }
}

/** Turns an error about damage, met after a folder was opened, into one whose message is a sentence for the operator. */
export function openFault(folder: string, error: unknown): unknown {
  if (!isCorruption(error)) return error
  return new StoreUnusable(`The data folder ${folder} is damaged: ${(error as Error).message}. ${REMEDY}`, { cause: error })
}

/** Records damage, and restores the index of users with parked notifications, whose entries may be among the lost writes. */
export async function recordDamage(database: CheckedDatabase, damage: DamageRecord): Promise<void> {
  const operations = [encodeDamage(damage)]
  for await (const { user, meta } of eachUser(database)) {
    if (meta !== undefined && decodeAge(meta).parked > 0) operations.push(encodeParkedIndex(user, true))
  }
  await database.write(operations)
}

/** Yields the first entry of each user, which is meta unless meta is lost. Ends at the first entry that cannot be read. */
export async function* eachUser(database: CheckedDatabase): AsyncGenerator<{ user: string; prefix: Buffer; meta: Buffer | undefined }> {
  let [from, to] = usersRange
  for (;;) {
    const first = (await database.range(from, to, 1).catch(() => []))[0]
    if (first === undefined) return
    const prefix = first[0].subarray(0, 3 + first[0].readUInt16BE(1))
    yield { user: userOf(first[0]), prefix, meta: first[0].length === prefix.length + 1 ? first[1] : undefined }
    from = userRange(prefix)[1]
  }
}

export function describe({ file, offset, reason }: FileDamage): string {
  return `${file} at byte ${offset}: ${reason}`
}

/** Refuses a folder with data and without the file `CURRENT`: LevelDB would create an empty database over it. */
async function refuseWithoutCurrent(folder: string, counted: number | undefined): Promise<void> {
  const files = await filesOf(folder)
  if (files.includes('CURRENT') || ((counted ?? 0) === 0 && !files.some((file) => /\.(ldb|sst)$/.test(file)))) return
  throw new StoreUnusable(`The data folder ${folder} is damaged: CURRENT is missing. ${REMEDY}`)
}

async function upgradeFormat(raw: Database, folder: string): Promise<void> {
  const version = (await raw.range(...versionRange, 1))[0]?.[1].toString()
  if (version === '1') await upgradeFrom1(raw)
  else if (version === '3') await upgradeFrom3(raw)
  // Every entry of a folder of format 2 or 4 is valid in format 5.
  else if (version !== undefined && !['2', '4', FORMAT_VERSION].includes(version)) {
    throw new StoreUnusable(`The data folder ${folder} has format ${version}; this version of Belfry reads format ${FORMAT_VERSION}`)
  }
  await raw.write([encodeVersion()])
}

/** Describes the writes that are missing. A truncated last record is the trace of a crash, unless the count of writes says that it was synced. */
function lostWrites(logs: FileDamage[], written: number, counted: number | undefined): string[] {
  const damaged = logs.filter(({ tail }) => !tail || counted === undefined).map(describe)
  if (counted === undefined || written >= counted) return damaged
  const truncated = logs.filter(({ tail }) => tail).map(describe)
  return [...damaged, ...truncated, `the last ${counted - written} writes are missing`]
}
