import { rm } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { seal, unseal } from '../../../services/store/embedded/checksum.ts'
import { userPrefix, userRange } from '../../../services/store/embedded/codec.ts'
import { type Database, type OpenDatabase, openLevel } from '../../../services/store/embedded/database.ts'
import { examine, isSound } from '../../../services/store/embedded/doctor.ts'
import { EmbeddedStore } from '../../../services/store/embedded/embedded-store.ts'
import { decodeRow } from '../../../services/store/embedded/row-codec.ts'
import { rowId } from '../../../services/store/row.ts'
import type { InboxPage, PublishOptions, PublishResult, Store } from '../../../services/store/store.ts'
import { temporaryFolder } from '../../conformance/embedded-setup.ts'
import { baseSettings, Clock, idOf, Recorder, tailOf } from '../../conformance/stage.ts'

const clock = new Clock()
const START = clock.now
const settings = { ...baseSettings, rateLimit: 5, rateWindowMs: 1000, maxEntries: 10, clock: () => clock.now }
const USERS = ['alice', 'bob', 'carol']
const VERSION = Buffer.from('v')

async function opened(t: Test, folder: string, openDatabase: OpenDatabase = openLevel): Promise<EmbeddedStore> {
  const log = (details: object, message: string): void => t.comment(message, details)
  const store = new EmbeddedStore({ folder, settings, openDatabase, log: { error: log, warn: log } })
  t.teardown(() => store.close())
  await store.open('node', new Recorder())
  return store
}

function send(store: Store, user: string, number: number, options?: PublishOptions): Promise<PublishResult> {
  return store.publish({ user, id: idOf(number), keyed: false, tail: tailOf(number), halfLife: 0, options })
}

/** Numbers of the notifications in the inbox, newest first. */
async function numbers(store: Store, user: string): Promise<number[]> {
  const { items } = (await store.inbox({ user, states: undefined, before: undefined, limit: 100 })) as InboxPage
  return items.map(({ row }) => Number(rowId(row).slice(1, 8)))
}

/** Rewrites the entries of a user as format 3 has them: plain rows, and lists of options and answer by id. */
async function writeAsFormat3(database: Database, user: string): Promise<void> {
  const prefix = userPrefix(user)
  const answers = new Map<string, unknown>()
  const lists: [string, unknown[]][] = []
  const put = (key: Buffer, value: Buffer): Promise<void> => database.write([{ type: 'put', key, value: seal(key, value) }])
  for (const [key, sealed] of await database.range(...userRange(prefix))) {
    const value = unseal(key, sealed) as Buffer
    const part = String.fromCharCode(key[prefix.length] as number)
    const rest = key.subarray(prefix.length + 1)
    if (part === 'o') answers.set(rest.toString(), JSON.parse(value.toString()))
    if (part !== 'l' || value[0] !== 0x01) continue
    const { options, row } = decodeRow(value)
    lists.push([rowId(row), [rest.readUIntBE(0, 6), options.expiresAt, options.collapseKey, options.actions]])
    await put(key, row)
  }
  for (const [id, list] of lists) {
    await put(Buffer.concat([prefix, Buffer.from(`o${id}`)]), Buffer.from(JSON.stringify([...list, answers.get(id)])))
  }
}

/**
 * Resolves with a folder of format 3. For each user: 1 expires, 2 has a collapse key, 3 was answered, 4 has all options, 5 has actions; 6 is
 * parked, and 7 is scheduled.
 */
async function folderOfFormat3(t: Test): Promise<string> {
  clock.now = START
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const store = await opened(t, folder)
  const [actions, expiresAt] = [['yes', 'no'], START + 500]
  for (const user of USERS) {
    await send(store, user, 1, { expiresAt })
    await send(store, user, 2, { collapseKey: 'k' })
    await send(store, user, 3, { actions, expiresAt })
    await send(store, user, 4, { actions, collapseKey: 'all', expiresAt })
    await send(store, user, 5, { actions })
    await store.answer({ user, id: idOf(3), action: 'yes', deviceId: 'phone' })
    t.match(await send(store, user, 6, { collapseKey: 'parked', expiresAt: START + 60_000, level: 1 }), { status: 'parked' })
    const deliverAt = START + 30_000
    t.match(await send(store, user, 7, { collapseKey: 'scheduled', actions, deliverAt, expiresAt: START + 90_000 }), {
      status: 'scheduled'
    })
  }
  await store.close()
  const database = await openLevel(folder)
  for (const user of USERS) await writeAsFormat3(database, user)
  await database.write([{ type: 'put', key: VERSION, value: Buffer.from('3') }])
  await database.close()
  return folder
}

async function checkOptions(t: Test, store: Store, user: string): Promise<void> {
  const find = (number: number) => store.find(user, idOf(number))
  const answer = (number: number, action: string) => store.answer({ user, id: idOf(number), action, deviceId: 'tablet' })
  const kept = { action: 'yes', answeredAt: START, deviceId: 'phone' }
  clock.now = START
  t.same(await numbers(store, user), [5, 4, 3, 2, 1])
  t.match(await find(3), { in: 'log', item: { answer: kept } })
  t.match(await answer(3, 'no'), { status: 'already', answer: kept })
  t.match(await answer(5, 'no'), { status: 'answered' })
  t.match(await answer(2, 'yes'), { status: 'notOffered' })
  t.match(await send(store, user, 8, { collapseKey: 'parked' }), { status: 'parked' })
  t.equal(await find(6), undefined)
  t.match(await send(store, user, 9, { collapseKey: 'scheduled', deliverAt: START + 40_000 }), { status: 'scheduled' })
  t.equal(await find(7), undefined)
  clock.now = START + 600
  t.match(await store.advance(user), { expired: 2 })
  t.same(await numbers(store, user), [5, 3, 2], 'an answered one does not expire')
  clock.now = START + 2000
  await store.advance(user)
  await send(store, user, 10, { collapseKey: 'k' })
  t.same(await numbers(store, user), [10, 8, 5, 3])
  t.equal(await store.retract(user, idOf(3), ''), 'retracted')
  const connection = { connectionId: 'c', deviceId: 'phone', node: '', connectedAt: clock.now, address: '' }
  const command = { user, deviceId: 'phone', start: { at: 'earliest' as const }, issuedAt: clock.now, seen: undefined, limit: 100 }
  const attached = await store.attach({ ...command, connections: [connection] })
  t.match(attached, { status: 'attached', backlog: { gap: undefined, unread: 2 } })
  if (attached.status === 'attached') t.same([...attached.backlog.answers.keys()], [idOf(5)])
  for (let number = 11; number <= 24; number++) {
    clock.now += 1000
    await send(store, user, number)
  }
  t.notOk((await numbers(store, user)).includes(5), 'trimmed')
}

t.test('a folder of format 3 is upgraded: options move to their rows, and keep what they do', async (t) => {
  const folder = await folderOfFormat3(t)
  const store = await opened(t, folder)
  for (const user of USERS) await checkOptions(t, store, user)
  await store.close()
  const database = await openLevel(folder)
  t.equal((await database.range(VERSION, Buffer.from('w')))[0]?.[1].toString(), '5')
  await database.close()
  const again = await opened(t, folder)
  t.match(await again.find('alice', idOf(24)), { in: 'log' })
  t.notOk(again.status().damage)
})

t.test('an interrupted upgrade from format 3 continues where it stopped', async (t) => {
  const folder = await folderOfFormat3(t)
  const writes: number[] = []
  const failing: OpenDatabase = async (folder) => {
    const database = await openLevel(folder)
    const write: Database['write'] = async (operations) => {
      if (writes.length === 1) throw new Error('the disk is full')
      writes.push(operations.length)
      await database.write(operations)
    }
    return Object.assign(Object.create(database), { write }) as Database
  }
  await t.rejects(opened(t, folder, failing), { message: /the disk is full/ })
  t.equal(writes.length, 1, 'one write converted one user')
  const store = await opened(t, folder)
  for (const user of USERS) await checkOptions(t, store, user)
})

t.test('folders of formats 2 and 4 are valid as they are, and get the new version', async (t) => {
  for (const format of ['2', '4']) await upgradesAsItIs(t, format)
})

async function upgradesAsItIs(t: Test, format: string): Promise<void> {
  clock.now = START
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const store = await opened(t, folder)
  await send(store, 'alice', 1)
  await store.close()
  const database = await openLevel(folder)
  await database.write([{ type: 'put', key: VERSION, value: Buffer.from(format) }])
  await database.close()
  const upgraded = await opened(t, folder)
  t.same(await numbers(upgraded, 'alice'), [1])
  await upgraded.audiences.changeMembers({ topic: 'team', add: ['alice'], remove: [] })
  t.same(await upgraded.audiences.topicsOf('alice'), ['team'])
  await upgraded.close()
  const after = await openLevel(folder)
  t.equal((await after.range(VERSION, Buffer.from('w')))[0]?.[1].toString(), '5')
  await after.close()
}

t.test('a damaged entry in a folder of format 3 costs its user the log, and no other user', async (t) => {
  const folder = await folderOfFormat3(t)
  const database = await openLevel(folder)
  const keys = [
    Buffer.concat([userPrefix('alice'), Buffer.from(`o${idOf(4)}`)]),
    Buffer.concat([userPrefix('bob'), Buffer.from('l\0\0\0\0\0\x02')])
  ]
  await database.write(keys.map((key) => ({ type: 'put', key, value: Buffer.from('damaged') })))
  await database.close()
  const { damagedUsers } = await examine(folder, clock.now)
  t.equal(damagedUsers.length, 2)
  const store = await opened(t, folder)
  for (const user of ['alice', 'bob']) {
    t.same(await numbers(store, user), [], user)
    t.match(await store.find(user, idOf(7)), { in: 'scheduled' })
  }
  await checkOptions(t, store, 'carol')
})

t.test('the doctor finds a folder of format 3 sound, and leaves its format', async (t) => {
  const folder = await folderOfFormat3(t)
  const diagnosis = await examine(folder, clock.now)
  t.ok(isSound(diagnosis))
  t.match(diagnosis, { users: 3, rows: 18 })
  const database = await openLevel(folder)
  t.equal((await database.range(VERSION, Buffer.from('w')))[0]?.[1].toString(), '3')
  await database.close()
})
