import { copyFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import t from 'tap'
import { COMMITS_FILE } from '../../../services/store/embedded/commits.ts'
import { openLevel } from '../../../services/store/embedded/database.ts'
import { examine, isSound } from '../../../services/store/embedded/doctor.ts'
import { EmbeddedStore } from '../../../services/store/embedded/embedded-store.ts'
import { checkFiles } from '../../../services/store/embedded/level-files.ts'
import { rowId, rowKind } from '../../../services/store/row.ts'
import type { Backlog } from '../../../services/store/store.ts'
import { temporaryFolder } from '../../conformance/embedded-setup.ts'
import { baseSettings, Clock, idOf, Recorder, tailOf } from '../../conformance/stage.ts'
import { until } from '../../fixtures/wait.ts'

const clock = new Clock()
const settings = { ...baseSettings, rateLimit: 0, maxEntries: 1000, clock: () => clock.now }
const USERS = ['alice', 'bob', 'carol', 'dave']

interface Logged {
  details: { where?: string; file?: string; userHash?: string; reason?: string }
  message: string
}

/** The ids of the written rows, by user, in order of offset. */
type Written = Map<string, string[]>

async function folderOf(t: Test): Promise<string> {
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function storeOn(folder: string, logged: Logged[] = []): EmbeddedStore {
  const log = (details: object, message: string): number => logged.push({ details, message })
  return new EmbeddedStore({ folder, settings, log: { error: log, warn: log } })
}

/** Fills a folder with tables and a log, and closes it. Resolves with the written rows. */
async function filled(folder: string, rows = 30): Promise<Written> {
  const written: Written = new Map(USERS.map((user) => [user, []]))
  const fill = async (from: number, to: number): Promise<void> => {
    const store = storeOn(folder)
    await store.open('node', new Recorder())
    for (let number = from; number <= to; number++) {
      for (const user of USERS) {
        const id = idOf(number + 1000 * USERS.indexOf(user))
        const result = await store.publish({ user, id, keyed: false, tail: `"title":"${user} ${number} ${'x'.repeat(200)}"}`, halfLife: 0 })
        if (result.status === 'accepted') written.get(user)?.push(id)
      }
    }
    await store.close()
  }
  await fill(1, rows / 2)
  await fill(rows / 2 + 1, rows)
  return written
}

async function copyOf(t: Test, folder: string): Promise<string> {
  const copy = join(await folderOf(t), 'store')
  await mkdir(copy)
  for (const file of await readdir(folder)) await copyFile(join(folder, file), join(copy, file))
  return copy
}

async function filesOf(folder: string, pattern: RegExp): Promise<string[]> {
  return (await readdir(folder)).filter((file) => pattern.test(file)).map((file) => join(folder, file))
}

async function flip(path: string, place: number, mask = 0xff): Promise<void> {
  const bytes = await readFile(path)
  bytes[place] = (bytes[place] as number) ^ mask
  await writeFile(path, bytes)
}

/** Reads the whole log, as a connection does. Rejects if a read makes no progress. */
async function readAll(
  store: EmbeddedStore,
  user: string,
  start: 'earliest' | 'device'
): Promise<{ backlogs: Backlog[]; ids: Map<number, string>; lost: number; epoch: string }> {
  const attach = { user, deviceId: 'd', start: { at: start }, connections: [], issuedAt: clock.now, seen: undefined, limit: 7 } as const
  const attached = await store.attach({ ...attach, connections: [] })
  if (attached.status !== 'attached') throw new Error(attached.status)
  const backlogs = [attached.backlog]
  const ids = new Map<number, string>()
  let lost = 0
  for (let backlog = attached.backlog; ; ) {
    for (const [index, row] of backlog.rows.entries()) {
      if (rowKind(row) === '~') lost += 1
      else ids.set(backlog.start.offset + 1 + index, rowId(row))
    }
    const last = backlog.start.offset + backlog.rows.length
    if (last >= backlog.top) return { backlogs, ids, lost, epoch: backlog.epoch }
    if (backlog.rows.length === 0) throw new Error('a read makes no progress')
    backlog = await store.read({ user, position: { epoch: backlog.epoch, offset: last, id8: '' }, seen: undefined, limit: 7 })
    backlogs.push(backlog)
  }
}

/**
 * Checks a damaged folder: it is refused with a sentence, or each user gets every row at its place, or is told that rows may be missing.
 *
 * @param isReadJointly all users are loaded at once first
 */
async function check(
  t: Test,
  folder: string,
  written: Written,
  epochs: Map<string, string>,
  what: string,
  isReadJointly = true
): Promise<'refused' | 'told' | 'whole'> {
  const store = storeOn(folder)
  try {
    await store.open('node', new Recorder())
  } catch (error) {
    t.match((error as Error).message, /^The data folder .* (is damaged|cannot be opened|has format)/, what)
    return 'refused'
  }
  let verdict: 'told' | 'whole' = 'whole'
  try {
    if (isReadJointly) await Promise.allSettled(USERS.map((user) => store.queue(user)))
    for (const user of USERS) {
      const { ids, lost, epoch } = await readAll(store, user, 'earliest')
      const expected = written.get(user) as string[]
      const wrong = epoch === epochs.get(user) ? [...ids].filter(([offset, id]) => expected[offset - 1] !== id) : [...ids]
      t.same(wrong, [], `${what}: ${user} gets no row under the event id of another`)
      if (ids.size < expected.length && lost === 0) t.fail(`${what}: ${user} has ${ids.size} of ${expected.length} rows and is not told`)
      if (lost > 0) verdict = 'told'
      const result = await store.publish({ user, id: idOf(5000), keyed: false, tail: '"title":"t"}', halfLife: 0 }).catch(() => undefined)
      if (result !== undefined) t.match(result, { status: 'accepted' })
    }
  } finally {
    await store.close()
  }
  return verdict
}

async function epochsOf(folder: string): Promise<Map<string, string>> {
  const store = storeOn(folder)
  await store.open('node', new Recorder())
  const epochs = new Map<string, string>()
  for (const user of USERS) epochs.set(user, (await store.queue(user)).head.epoch)
  await store.close()
  return epochs
}

t.test('flipped bytes anywhere in any file: no row under another event id, no read without progress, no silent loss', async (t) => {
  const folder = await folderOf(t)
  const written = await filled(folder)
  const epochs = await epochsOf(await copyOf(t, folder))
  const verdicts = new Map<string, number>()
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return seed % below
  }
  for (const path of await filesOf(folder, /^(CURRENT|MANIFEST|\d+\.(log|ldb))/)) {
    const { size } = await stat(path)
    const name = path.slice(folder.length + 1)
    for (let turn = 0; turn < 14 && size > 0; turn++) {
      const copy = await copyOf(t, folder)
      const place = random(size)
      await flip(join(copy, name), place, turn % 2 === 0 ? 0xff : 1 << random(8))
      const verdict = await check(t, copy, written, epochs, `byte ${place} of ${name}`, turn % 3 > 0)
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
    }
  }
  t.comment(JSON.stringify([...verdicts]))
  t.ok((verdicts.get('told') ?? 0) > 0 && (verdicts.get('refused') ?? 0) > 0)
})

t.test('files truncated at any place, or missing: the same', async (t) => {
  const folder = await folderOf(t)
  const written = await filled(folder)
  const epochs = await epochsOf(await copyOf(t, folder))
  for (const path of await filesOf(folder, /^(CURRENT|MANIFEST|\d+\.(log|ldb))/)) {
    const name = path.slice(folder.length + 1)
    const { size } = await stat(path)
    for (const part of [0, 0.3, 0.9, 0.999]) {
      const copy = await copyOf(t, folder)
      await truncate(join(copy, name), Math.floor(size * part))
      await check(t, copy, written, epochs, `${name} truncated at ${part}`)
    }
    const copy = await copyOf(t, folder)
    await rm(join(copy, name))
    t.not(await check(t, copy, written, epochs, `${name} missing`), size > 0 ? 'whole' : '')
  }
})

t.test(
  'a damaged write-ahead log: a user who lost rows gets a new log, all others are told, and the log lines name file and user hash',
  async (t) => {
    const folder = await folderOf(t)
    const written = await filled(folder, 300)
    const [log] = await filesOf(folder, /\.log$/)
    await flip(log as string, 3000)
    const logged: Logged[] = []
    const store = storeOn(folder, logged)
    await store.open('node', new Recorder())
    t.teardown(() => store.close())
    t.match(logged[0], {
      message: /the data folder is damaged/,
      details: { where: /^\d+\.log at byte \d+: the checksum of a record does not match/ }
    })
    const { ids, lost } = await readAll(store, 'alice', 'device')
    t.equal(lost, 1)
    t.equal(ids.size, 0, 'rows are missing in the middle: alice has a new log')
    t.ok((written.get('alice')?.length ?? 0) > 0)
    await until(() => logged.length > 1, 'the log line')
    t.match(logged[1], {
      message: /the data of a user is damaged/,
      details: { userHash: /^[0-9a-f]{12}$/, reason: 'rows are missing or out of order' }
    })
    t.notMatch(JSON.stringify(logged), 'alice')
    t.match(store.status(), { available: true, damage: '' })
    const again = await readAll(store, 'alice', 'device')
    t.equal(again.epoch, (await store.queue('alice')).head.epoch)
    const unknown = await readAll(store, 'never seen', 'earliest')
    t.equal(unknown.lost, 1, 'an unknown user is told, too: all their rows may have been in the damaged part')
    clock.advance(settings.retentionMs)
    await store.close()
    const later = storeOn(folder)
    await later.open('node', new Recorder())
    t.teardown(() => later.close())
    t.equal((await readAll(later, 'another', 'earliest')).lost, 0, 'after the lost rows would have expired, no user gets a gap')
  }
)

t.test('a write-ahead log that was truncated between two writes is noticed by the count of writes', async (t) => {
  const folder = await folderOf(t)
  const store = storeOn(folder)
  await store.open('node', new Recorder())
  await store.publish({ user: 'alice', id: idOf(1), keyed: false, tail: '"title":"t"}', halfLife: 0 })
  const [log] = await filesOf(folder, /\.log$/)
  const { size } = await stat(log as string)
  await store.publish({ user: 'alice', id: idOf(2), keyed: false, tail: '"title":"t"}', halfLife: 0 })
  await store.close()
  await truncate(log as string, size)
  const logged: Logged[] = []
  const next = storeOn(folder, logged)
  await next.open('node', new Recorder())
  t.teardown(() => next.close())
  t.match(logged, [{ details: { where: 'the last 1 writes are missing' } }])
  const { ids, lost } = await readAll(next, 'alice', 'earliest')
  t.same([ids.size, lost], [1, 1])
})

t.test('a folder without its count of writes, or whose last write a crash interrupted, is sound', async (t) => {
  const folder = await folderOf(t)
  const written = await filled(folder)
  const epochs = await epochsOf(await copyOf(t, folder))
  const copy = await copyOf(t, folder)
  await rm(join(copy, COMMITS_FILE))
  t.equal(await check(t, copy, written, epochs, 'without a count'), 'whole')
  const crashed = await copyOf(t, folder)
  const [log] = await filesOf(crashed, /\.log$/)
  await writeFile(log as string, Buffer.from([1, 2, 3, 4, 200, 0, 1, 9, 9]), { flag: 'a' })
  t.equal(await check(t, crashed, written, epochs, 'with an interrupted write'), 'whole')
})

t.test('a damaged table: the status names it; its users are told, and can get notifications', async (t) => {
  const folder = await folderOf(t)
  await filled(folder)
  const [table] = await filesOf(folder, /\.ldb$/)
  await flip(table as string, 100)
  const logged: Logged[] = []
  const store = storeOn(folder, logged)
  await store.open('node', new Recorder())
  t.teardown(() => store.close())
  t.match(store.status(), { available: true, damage: /^\d+\.ldb at byte 0: the checksum of a block does not match$/ })
  t.ok(logged.some(({ message }) => message.includes('belfry doctor --repair')))
  for (const user of USERS) {
    t.equal((await readAll(store, user, 'earliest')).lost, 1, user)
    t.match(await store.publish({ user, id: idOf(1), keyed: false, tail: '"title":"t"}', halfLife: 0 }), { status: 'accepted' })
  }
})

t.test('the check names the damaged file, and finds nothing in a sound folder', async (t) => {
  const folder = await folderOf(t)
  await filled(folder)
  t.same(await checkFiles(folder), [])
  const [table] = await filesOf(folder, /\.ldb$/)
  await flip(table as string, (await stat(table as string)).size - 4)
  t.match(await checkFiles(folder), [{ file: /\.ldb$/ }])
})

t.test('an incomplete table that a crash during a compaction left behind is no damage', async (t) => {
  const folder = await folderOf(t)
  await filled(folder)
  const [table = ''] = await filesOf(folder, /\.ldb$/)
  const orphans = ['900001.ldb', '900002.ldb'].map((name) => join(folder, name))
  await copyFile(table, orphans[0] as string)
  await truncate(orphans[0] as string, 100)
  await writeFile(orphans[1] as string, '')
  t.ok(isSound(await examine(folder, clock.now)), 'for the doctor')
  const logged: Logged[] = []
  const store = storeOn(folder, logged)
  await store.open('node', new Recorder())
  t.teardown(() => store.close())
  t.same(logged, [])
  for (const user of USERS) t.equal((await readAll(store, user, 'earliest')).lost, 0, user)
})

t.test('a folder of format 1 is upgraded, also after an interrupted upgrade', async (t) => {
  const folder = await folderOf(t)
  const database = await openLevel(folder)
  const prefix = Buffer.concat([Buffer.from([0x75, 0, 10]), Buffer.from('alice', 'utf16le')])
  const key = (part: string, number?: number): Buffer => {
    const rest = Buffer.alloc(number === undefined ? 0 : 6)
    if (number !== undefined) rest.writeUIntBE(number, 0, 6)
    return Buffer.concat([prefix, Buffer.from(part), rest])
  }
  const row = Buffer.from(`n${clock.now}${idOf(1)}"title":"t"}`)
  const base36 = (...numbers: number[]): string => numbers.map((number) => number.toString(36)).join(' ')
  await database.write([
    { type: 'put', key: Buffer.from('v'), value: Buffer.from('1') },
    { type: 'put', key: key('a'), value: Buffer.from(`epoch1 ${base36(clock.now, clock.now, 1, 0, 1, clock.now, 1, 0, 0)}`) },
    { type: 'put', key: key('l', 1), value: row },
    { type: 'put', key: key('p', 1), value: Buffer.concat([Buffer.alloc(6), row]) },
    { type: 'put', key: Buffer.concat([key('k'), Buffer.from(idOf(1).slice(0, 12))]), value: Buffer.from('1') },
    { type: 'put', key: Buffer.concat([key('k'), Buffer.from(idOf(2).slice(0, 12))]), value: Buffer.from('2') },
    { type: 'put', key: Buffer.concat([Buffer.from('d'), Buffer.from('alice', 'utf16le')]), value: Buffer.alloc(0) }
  ])
  await database.close()
  const store = storeOn(folder)
  await store.open('node', new Recorder())
  t.teardown(() => store.close())
  t.match(await store.queue('alice'), { head: { epoch: 'epoch1', offset: 1, id8: idOf(1).slice(0, 8) }, unread: 1, parked: 1 })
  const again = { user: 'alice', keyed: true, tail: tailOf(1), halfLife: 0 }
  t.match(await store.publish({ ...again, id: idOf(1) }), { status: 'accepted', offset: 1, replayed: true })
  t.match(await store.publish({ ...again, id: idOf(1, 7) }), { status: 'conflict' })
  t.match(await store.sweep(), { released: 1 })
})
