import { rm } from 'node:fs/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { userPrefix, userRange } from '../../../services/store/embedded/codec.ts'
import { type CheckedEntry, type Database, openLevel } from '../../../services/store/embedded/database.ts'
import { EmbeddedStore } from '../../../services/store/embedded/embedded-store.ts'
import { UserReader } from '../../../services/store/embedded/user-reader.ts'
import { temporaryFolder } from '../../conformance/embedded-setup.ts'
import { baseSettings, idOf, Recorder, tailOf } from '../../conformance/stage.ts'
import { until } from '../../fixtures/wait.ts'

const settings = { ...baseSettings, rateLimit: 0 }

/** A sorted database in memory. `bad` is a user whose entries fail every read that meets them. */
class SortedEntries {
  readonly #entries: CheckedEntry[]
  bad = ''
  reads = 0
  entriesRead = 0

  constructor(keys: Buffer[]) {
    this.#entries = keys.map((key): CheckedEntry => [key, key.at(-1) === 0xee ? undefined : key])
    this.#entries.sort(([one], [other]) => Buffer.compare(one, other))
  }

  async range(from: Buffer, to: Buffer, limit = Number.POSITIVE_INFINITY): Promise<CheckedEntry[]> {
    this.reads += 1
    const found = this.#entries.filter(([key]) => Buffer.compare(key, from) >= 0 && Buffer.compare(key, to) < 0).slice(0, limit)
    if (this.bad !== '' && found.some(([key]) => key.subarray(0, -2).equals(userPrefix(this.bad)))) throw new Error('a bad block')
    this.entriesRead += found.length
    return found
  }
}

/** Returns the key of an entry of a user. */
function keyOf(user: string, part: number, rest = 0): Buffer {
  return Buffer.concat([userPrefix(user), Buffer.from([part, rest])])
}

const names = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `user${String(from + n).padStart(5, '0')}`)

const texts = (entries: CheckedEntry[]): string[] => entries.map(([key, value]) => `${key.toString('hex')} ${value !== undefined}`)

t.test('users read at once have the entries that each has when read alone', async () => {
  const user = fc.constantFrom('', 'a', 'b', 'ab', 'b\uffff', '\uffff', ...names(12))
  const entry = fc.record({ user, part: fc.integer({ min: 0x61, max: 0x7a }), rest: fc.constantFrom(0, 1, 0xee) })
  const many = fc.record({ user, count: fc.constantFrom(0, 3, 60, 250) })
  await fc.assert(
    fc.asyncProperty(fc.array(entry), fc.array(many), fc.uniqueArray(user), fc.constantFrom('', 'ab'), async (some, more, users, bad) => {
      const keys = some.map(({ user: owner, part, rest }) => keyOf(owner, part, rest))
      for (const { user: owner, count } of more) for (let n = 0; n < count; n++) keys.push(keyOf(owner, 0x6c, n % 0xee))
      const database = new SortedEntries(keys)
      database.bad = bad
      const reader = new UserReader(database)
      const read = await Promise.allSettled(users.map((name) => reader.read(userPrefix(name))))
      for (const [index, name] of users.entries()) {
        const expected = await database.range(...userRange(userPrefix(name))).catch(() => undefined)
        const actual = read[index] as PromiseSettledResult<CheckedEntry[]>
        const found = actual.status === 'fulfilled' ? texts(actual.value) : undefined
        if (JSON.stringify(found) !== JSON.stringify(expected && texts(expected))) throw new Error(`${name}: ${JSON.stringify(found)}`)
      }
    }),
    { numRuns: 300 }
  )
})

t.test('new users share one read; users with much between them are read alone after one attempt', async (t) => {
  const readAll = async (keys: Buffer[], users: string[]): Promise<SortedEntries> => {
    const database = new SortedEntries(keys)
    const reader = new UserReader(database)
    await Promise.all(users.map((user) => reader.read(userPrefix(user))))
    return database
  }
  t.equal((await readAll([], names(256))).reads, 1)
  const three = names(500).flatMap((user) => [0x61, 0x6b, 0x6c].map((part) => keyOf(user, part)))
  t.equal((await readAll(three, names(256))).reads, 1, 'users with a notification each')
  const sparse = await readAll(three, ['user00000', 'user00150', 'user00300', 'user00450', 'user00499'])
  t.equal(sparse.reads, 1 + 4)
  t.ok(sparse.entriesRead <= 5 * 8 + 4 * 3, `${sparse.entriesRead} entries were read`)
  t.equal((await readAll([], names(3))).reads, 3)
})

/** Opens a store on a folder. The list has the reasons of the damage that it reports. */
async function storeOn(t: Test, folder: string, reasons: unknown[] = [], openDatabase = openLevel): Promise<EmbeddedStore> {
  const log = (details: { reason?: string }): number => reasons.push(details.reason)
  const store = new EmbeddedStore({ folder, settings, openDatabase, log: { error: log, warn: log } })
  await store.open('node', new Recorder())
  t.teardown(() => store.close())
  return store
}

t.test('a user whose meta is under a wrong key is not taken for new among new users', async (t) => {
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const publish = (store: EmbeddedStore, user: string, number: number) =>
    store.publish({ user, id: idOf(number), keyed: false, tail: tailOf(number), halfLife: 0 })
  const [users, damaged] = [names(40), ['user00007', 'user00020']]
  const before = await storeOn(t, folder)
  for (const user of damaged) await publish(before, user, 1)
  await before.close()
  const database = await openLevel(folder)
  // A flipped bit in the part, and one in the name: the second entry is then that of user00021.
  for (const [index, place] of [-1, -3].entries()) {
    const [[key, value] = []] = await database.range(...userRange(userPrefix(damaged[index] as string)), 1)
    if (key === undefined || value === undefined) throw new Error('there is no meta')
    const flipped = Buffer.from(key)
    flipped[key.length + place] = (key.at(place) as number) ^ 1
    await database.write([
      { type: 'del', key },
      { type: 'put', key: flipped, value }
    ])
  }
  await database.close()
  const reasons: unknown[] = []
  const store = await storeOn(t, folder, reasons)
  await Promise.all(users.map((user) => publish(store, user, 2)))
  const told = [...damaged, 'user00021']
  for (const user of users) t.match(await store.queue(user), { head: { offset: told.includes(user) ? 2 : 1 } }, user)
  await until(() => reasons.length === told.length, 'the log')
  t.same(reasons.sort(), ['a checksum does not match', 'a checksum does not match', 'the metadata are missing'])
})

t.test('a damaged table costs the users in it, not those who are read with them', async (t) => {
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const bad = userRange(userPrefix('user00003'))[0]
  const open = async (path: string): Promise<Database> => {
    const real = await openLevel(path)
    const range: Database['range'] = async (from, to, limit) => {
      const isMet = Buffer.compare(from, bad) <= 0 && Buffer.compare(bad, to) < 0 && from[0] === bad[0]
      if (isMet) throw Object.assign(new Error('bad block'), { code: 'LEVEL_CORRUPTION' })
      return await real.range(from, to, limit)
    }
    return { write: (operations) => real.write(operations), compact: real.compact, range, close: () => real.close() }
  }
  const reasons: unknown[] = []
  const store = await storeOn(t, folder, reasons, open)
  const backlogs = await Promise.all(names(8).map((user) => store.queue(user)))
  t.equal(backlogs.length, 8)
  await Promise.all(names(8).map((user) => store.publish({ user, id: idOf(1), keyed: false, tail: tailOf(1), halfLife: 0 })))
  const offsets = await Promise.all(names(8).map(async (user) => (await store.queue(user)).head.offset))
  t.same(offsets, [1, 1, 1, 2, 1, 1, 1, 1], 'one log begins with the row that tells of the loss')
})
