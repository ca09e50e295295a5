import { StoreUnusable } from '../unusable.ts'
import { CheckedDatabase, readChecked } from './checked-database.ts'
import {
  type DamageRecord,
  damageRange,
  decodeAge,
  decodeDamage,
  encodeDamage,
  encodeParkedIndex,
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
import { checkLogs, checkTables, type FileDamage, filesOf, tableBytes, tablesOf } from './level-files.ts'
import { upgradeFrom1 } from './upgrade.ts'

/** Tables up to this size altogether are checked before the folder is used, bytes. Of larger ones each user is checked when it is loaded. */
const CHECK_AT_ONCE = 64 * 1024 * 1024

/** An opened data folder. */
export interface Folder {
  database: CheckedDatabase
  /** The damage whose effects users may still bear. */
  damage: DamageRecord | undefined
  /** Whether the damage was found now. */
  found: boolean
  /** Table files that are damaged: users in them cannot be read. */
  tables: FileDamage[]
}

/**
 * Opens a data folder and finds out whether writes are missing from it. Rejects with a sentence when it is locked, cannot be read, is of a newer
 * format, or cannot be written.
 *
 * @param now Unix milliseconds
 * @param check whether to look at the tables as well
 */
export async function openFolder(open: OpenDatabase, folder: string, now: number, check: boolean): Promise<Folder> {
  const logs = await checkLogs(folder)
  const counted = readCommits(folder)
  await refuseWithoutCurrent(folder, counted)
  const names = check && (await tableBytes(folder)) <= CHECK_AT_ONCE ? await tablesOf(folder) : []
  const raw = await open(folder)
  try {
    const tables = await checkTables(folder, names)
    await carryOver(raw, folder)
    const written = Number((await readChecked(raw, ...numberRange, 1))[0]?.[1]?.toString() ?? 0)
    const database = new CheckedDatabase(raw, CommitCounter.open(folder, Math.max(written, counted ?? 0)))
    const stored = (await database.range(...damageRange, 1))[0]
    const known = stored?.[1] === undefined ? undefined : decodeDamage(stored[1])
    const where = [...lostWrites(logs, written, counted), ...tables.map(describe)]
    if (stored !== undefined && known === undefined) where.push('the record of earlier damage')
    if (where.length === 0 || known?.where === where.join('; ')) return { database, damage: known, found: false, tables }
    const damage = { generation: (known?.generation ?? 0) + 1, at: now, where: where.join('; ') }
    await recordDamage(database, damage)
    return { database, damage, found: true, tables }
  } catch (error) {
    await raw.close()
    throw openFault(folder, error)
  }
}

/** The error of a folder that was opened and could not be read on: a sentence, if it is damaged. */
export function openFault(folder: string, error: unknown): unknown {
  if (!isCorruption(error)) return error
  return new StoreUnusable(`The data folder ${folder} is damaged: ${(error as Error).message}. ${REMEDY}`, { cause: error })
}

/** Writes down that users may have lost writes, and lists anew who has parked notifications, since entries of that list may be among them. */
export async function recordDamage(database: CheckedDatabase, damage: DamageRecord): Promise<void> {
  const operations = [encodeDamage(damage)]
  for await (const { user, meta } of eachUser(database)) {
    if (meta !== undefined && decodeAge(meta).parked > 0) operations.push(encodeParkedIndex(user, true))
  }
  await database.write(operations)
}

/** The first entry of each user, which is meta when nothing is missing. Ends at the first part that cannot be read. */
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

/** LevelDB makes an empty database where the file `CURRENT` is missing, whatever else is there. */
async function refuseWithoutCurrent(folder: string, counted: number | undefined): Promise<void> {
  const files = await filesOf(folder)
  if (files.includes('CURRENT') || ((counted ?? 0) === 0 && !files.some((file) => /\.(ldb|sst)$/.test(file)))) return
  throw new StoreUnusable(`The data folder ${folder} is damaged: CURRENT is missing. ${REMEDY}`)
}

async function carryOver(raw: Database, folder: string): Promise<void> {
  const version = (await raw.range(...versionRange, 1))[0]?.[1].toString()
  if (version === '1') await upgradeFrom1(raw)
  else if (version !== undefined && version !== FORMAT_VERSION) {
    throw new StoreUnusable(`The data folder ${folder} has format ${version}; this version of Belfry reads format ${FORMAT_VERSION}`)
  }
  await raw.write([encodeVersion()])
}

/** What is missing from the log. A record that was cut off at its end is a crash, unless the count of writes says that more were answered. */
function lostWrites(logs: FileDamage[], written: number, counted: number | undefined): string[] {
  const damaged = logs.filter(({ tail }) => !tail || counted === undefined).map(describe)
  if (counted === undefined || written >= counted) return damaged
  const cut = logs.filter(({ tail }) => tail).map(describe)
  return [...damaged, ...cut, `the last ${counted - written} writes are missing`]
}
