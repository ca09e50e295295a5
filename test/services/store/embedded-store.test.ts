import { mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import t from 'tap'
import { encodeEffects, encodeVersion, userPrefix, versionRange } from '../../../services/store/embedded/codec.ts'
import { type Database, openLevel } from '../../../services/store/embedded/database.ts'
import { EmbeddedStore } from '../../../services/store/embedded/embedded-store.ts'
import type { EmbeddedOptions } from '../../../services/store/embedded/options.ts'
import { META_TTL_MS } from '../../../services/store/limits.ts'
import { emptyState } from '../../../services/store/state.ts'
import type { PublishCommand } from '../../../services/store/store.ts'
import { temporaryFolder } from '../../conformance/embedded-setup.ts'
import { baseSettings, Clock, idOf, pageOf, Recorder, swept, tailOf } from '../../conformance/stage.ts'
import { until } from '../../fixtures/wait.ts'

const clock = new Clock()
const settings = { ...baseSettings, rateLimit: 0, clock: () => clock.now }

/** A database whose writes and reads can be made to fail or wait. */
class FaultyDatabase {
  writeError: Error | undefined
  readError: Error | undefined
  openError: Error | undefined
  gate: Promise<void> = Promise.resolve()
  writes = 0
  reads = 0

  readonly open = async (folder: string): Promise<Database> => {
    if (this.openError !== undefined) throw this.openError
    const real = await openLevel(folder)
    return {
      write: async (operations) => {
        this.writes += 1
        await this.gate
        if (this.writeError !== undefined) throw this.writeError
        await real.write(operations)
      },
      compact: (from, to) => real.compact(from, to),
      range: async (from, to, limit) => {
        this.reads += 1
        if (this.readError !== undefined) throw this.readError
        return await real.range(from, to, limit)
      },
      close: () => real.close()
    }
  }
}

async function folderOf(t: Test): Promise<string> {
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function opened(t: Test, options: Partial<EmbeddedOptions> = {}): Promise<{ store: EmbeddedStore; recorder: Recorder }> {
  const store = new EmbeddedStore({ folder: options.folder ?? (await folderOf(t)), settings, ...options })
  const recorder = new Recorder()
  t.teardown(() => store.close())
  await store.open('node', recorder)
  return { store, recorder }
}

function note(user: string, number: number, keyed = false): PublishCommand {
  return { user, id: idOf(number), keyed, tail: tailOf(number), halfLife: 0 }
}

function socket(): { connectionId: string; deviceId: string; node: string; connectedAt: number; address: string } {
  return { connectionId: 'c', deviceId: 'd', node: 'node', connectedAt: clock.now, address: 'a' }
}

t.test('the folder is created for its owner alone, and one process holds it', async (t) => {
  const folder = join(await folderOf(t), 'deep', 'data')
  const { store } = await opened(t, { folder })
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  const second = new EmbeddedStore({ folder, settings })
  await t.rejects(second.open('node', new Recorder()), {
    message: `The data folder ${folder} is in use by another process: stop that process, or set another DATA_DIR`
  })
  t.match(second.status(), { available: false, reason: 'not opened' })
  await second.close()
  t.match(await store.publish(note('a', 1)), { status: 'accepted' })
})

t.test('a folder of another format, or that is no database, is refused, and not held', async (t) => {
  const folder = await folderOf(t)
  const database = await openLevel(folder)
  await database.write([{ ...encodeVersion(), value: Buffer.from('99') } as ReturnType<typeof encodeVersion>])
  await database.close()
  const store = new EmbeddedStore({ folder, settings })
  await t.rejects(store.open('node', new Recorder()), { message: /has format 99; this version of Belfry reads format 5/ })
  await (await openLevel(folder)).close()
  await t.rejects(openLevel(join('/dev/null', 'data')), { message: /cannot be opened: ENOTDIR/ })
  const strange = await folderOf(t)
  await mkdir(join(strange, 'LOCK'))
  await t.rejects(openLevel(strange), { message: /^The data folder .* cannot be opened: / })
})

t.test('a folder of format 2 or 3 is used as it is, and is of the current format then', async (t) => {
  for (const version of ['2', '3']) {
    const folder = await folderOf(t)
    const before = await opened(t, { folder })
    await before.store.publish(note('a', 1))
    await before.store.close()
    const database = await openLevel(folder)
    await database.write([{ ...encodeVersion(), value: Buffer.from(version) } as ReturnType<typeof encodeVersion>])
    await database.close()
    const { store } = await opened(t, { folder })
    t.match(await store.queue('a'), { head: { offset: 1 }, unread: 1 })
    await store.close()
    const after = await openLevel(folder)
    t.equal((await after.range(...versionRange, 1))[0]?.[1].toString(), '5')
    await after.close()
  }
})

t.test('the error about a damaged folder says so', async (t) => {
  const folder = await folderOf(t)
  await (await openLevel(folder)).close()
  const { readdir, writeFile } = await import('node:fs/promises')
  for (const name of await readdir(folder)) if (name.startsWith('MANIFEST')) await writeFile(join(folder, name), 'no manifest')
  await t.rejects(openLevel(folder), { message: /^The data folder .* is damaged: / })
})

t.test('results and wake-ups come after the sync, in this order, and reads of the user wait for it', async (t) => {
  const faulty = new FaultyDatabase()
  const { store, recorder } = await opened(t, { openDatabase: faulty.open })
  const command = { user: 'a', deviceId: 'd', start: { at: 'latest' as const }, issuedAt: clock.now, seen: undefined, limit: 10 }
  await store.attach({ ...command, connections: [socket()] })
  let openGate = (): void => {}
  faulty.gate = new Promise((resolve) => {
    openGate = resolve
  })
  const order: string[] = []
  const wake = recorder.wake.bind(recorder)
  recorder.wake = (woken) => {
    order.push('wake-up')
    wake(woken)
  }
  const writes = faulty.writes
  const publish = store.publish(note('a', 1)).then(() => order.push('result'))
  await until(() => faulty.writes > writes, 'the write')
  const read = pageOf(store, { user: 'a', states: undefined, before: undefined, limit: 10 }).then((page) => {
    order.push('read')
    return page
  })
  t.match(await store.queue('b'), { head: { offset: 0 } }, 'other users do not wait')
  t.same(order, [])
  openGate()
  await Promise.all([publish, read])
  t.equal((await read).items.length, 1)
  await until(() => recorder.wakes.length === 1, 'the wake-up')
  t.same(order, ['result', 'read', 'wake-up'])
})

t.test('a failed write: all callers that wait are refused, the write has no effect, and the store recovers by itself', async (t) => {
  const faulty = new FaultyDatabase()
  const { store, recorder } = await opened(t, { openDatabase: faulty.open })
  await store.publish(note('a', 1))
  faulty.writeError = new Error('IO error: the disk was removed')
  const attach = { user: 'b', deviceId: 'd', start: { at: 'latest' as const }, issuedAt: clock.now, seen: undefined, limit: 10 }
  const calls = [
    store.publish(note('a', 2)),
    store.publish(note('a', 3)),
    store.queue('a'),
    store.attach({ ...attach, connections: [socket()] })
  ]
  for (const result of await Promise.allSettled(calls)) {
    t.match(result, { status: 'rejected', reason: { code: 'BELFRY_ERR_STORE_UNAVAILABLE', statusCode: 503 } })
  }
  t.match(store.status(), { available: false, reason: 'a write failed: IO error: the disk was removed', durability: 'fsync' })
  t.same(await store.connections('b'), [], 'a refused attach registers nothing')
  await t.rejects(store.queue('a'), { code: 'BELFRY_ERR_STORE_UNAVAILABLE' })
  await t.rejects(store.sweep(), { code: 'BELFRY_ERR_STORE_UNAVAILABLE' })
  faulty.openError = new Error('still removed')
  await until(() => store.status().reason === 'still removed', 'an attempt that fails')
  faulty.openError = undefined
  faulty.writeError = undefined
  await until(() => store.status().available, 'the store is back')
  t.same(
    recorder.statuses.map(({ available }) => available),
    [false, true]
  )
  t.match(await store.queue('a'), { head: { offset: 1 }, unread: 1 })
  t.match(await store.publish(note('a', 2)), { status: 'accepted', offset: 2 })
})

t.test('a full disk: steps that make the log grow are refused, all others work, and the store recovers by itself', async (t) => {
  const faulty = new FaultyDatabase()
  const { store, recorder } = await opened(t, { openDatabase: faulty.open, cacheBytes: 1 })
  await store.publish(note('a', 1))
  faulty.writeError = new Error('IO error: /data/000003.log: No space left on device')
  faulty.openError = faulty.writeError
  await t.rejects(store.publish(note('a', 2)), { code: 'BELFRY_ERR_STORE_FULL', statusCode: 507 })
  await until(() => store.status().available, 'the database is readable')
  t.match(store.status(), { available: true, full: true, reason: '' })
  await t.rejects(store.publish(note('a', 2)), { code: 'BELFRY_ERR_STORE_FULL' })
  await t.rejects(store.mark({ user: 'a', target: { ids: [idOf(1)] }, state: 'read' }), { code: 'BELFRY_ERR_STORE_FULL' })
  const attach = {
    deviceId: 'd',
    start: { at: 'device' as const },
    issuedAt: clock.now,
    seen: undefined,
    limit: 10,
    connections: [socket()]
  }
  const attached = await store.attach({ ...attach, user: 'a' })
  t.match(attached, { status: 'attached', backlog: { top: 1, rows: { length: 1 } } })
  const newcomer = await store.attach({ ...attach, user: 'b' })
  const { head } = await store.queue('a')
  await store.ack('a', 'd', head)
  t.match(await store.queue('a'), { devices: [{ deviceId: 'd', lag: 0 }] }, 'the ack counts, though it is not on disk')
  t.equal((await pageOf(store, { user: 'a', states: undefined, before: undefined, limit: 10 })).items.length, 1)
  faulty.openError = undefined
  faulty.writeError = undefined
  await until(() => !store.status().full && store.status().available, 'there is room')
  t.match(await store.publish(note('a', 2)), { status: 'accepted', offset: 2 })
  t.match(await store.queue('a'), { devices: [{ deviceId: 'd', lag: 1 }] }, 'the changes in memory were written')
  t.match(newcomer, { status: 'attached', backlog: { epoch: (await store.queue('b')).head.epoch } })
  t.ok(recorder.statuses.some(({ full }) => full))
  t.match(recorder.statuses.at(-1), { available: true, full: false })
})

t.test('a failed read refuses the callers that wait for it, and no others', async (t) => {
  const faulty = new FaultyDatabase()
  const { store } = await opened(t, { openDatabase: faulty.open })
  await store.publish(note('a', 1))
  faulty.readError = new Error('a bad block')
  await t.rejects(store.publish(note('b', 1)), { code: 'BELFRY_ERR_STORE_UNAVAILABLE' })
  t.match(await store.publish(note('a', 2)), { offset: 2 })
  faulty.readError = undefined
  t.match(await store.publish(note('b', 1)), { offset: 1 })
})

t.test('reads under way when a write fails are refused, too', async (t) => {
  const faulty = new FaultyDatabase()
  const { store } = await opened(t, { openDatabase: faulty.open })
  await store.publish(note('a', 1))
  faulty.writeError = new Error('failed')
  const failing = store.publish(note('a', 2))
  const loading = Array.from({ length: 20 }, (_, index) => store.publish(note(`user ${index}`, 1)))
  await t.rejects(failing, { code: 'BELFRY_ERR_STORE_UNAVAILABLE' })
  for (const result of await Promise.allSettled(loading)) t.equal(result.status, 'rejected')
})

t.test('memory is bounded: evicted users are read again', async (t) => {
  const faulty = new FaultyDatabase()
  const { store } = await opened(t, { openDatabase: faulty.open, cacheBytes: 20_000 })
  const users = Array.from({ length: 40 }, (_, index) => `user ${index}`)
  await Promise.all(users.map((user) => store.publish(note(user, 1))))
  const reads = faulty.reads
  t.match(await store.publish(note('user 39', 2)), { offset: 2 })
  t.equal(faulty.reads, reads, 'the last user is in memory')
  await store.publish(note('user 0', 2))
  t.equal(faulty.reads, reads + 1, 'the first was evicted')
  const pages = await Promise.all(users.map((user) => store.queue(user)))
  t.same(
    pages.map(({ head }) => head.offset),
    users.map((user) => (user === 'user 0' || user === 'user 39' ? 2 : 1))
  )
})

t.test('users whose names are not well-formed text are kept apart, too', async (t) => {
  const folder = await folderOf(t)
  const limited = { folder, settings: { ...settings, rateLimit: 1 } }
  const { store } = await opened(t, limited)
  const users = ['a\ud800', 'a\ufffd', 'a\udc00']
  for (const [index, user] of users.entries()) {
    await store.publish(note(user, index))
    await store.publish(note(user, index + 10))
  }
  await store.close()
  clock.advance(settings.rateWindowMs)
  const again = await opened(t, limited)
  t.same(await again.store.sweep(), swept({ released: 3 }))
  for (const [index, user] of users.entries()) {
    const { items } = await pageOf(again.store, { user, states: undefined, before: undefined, limit: 10 })
    t.same(
      items.map(({ row }) => row.toString('latin1', 14, 34)),
      [idOf(index + 10), idOf(index)]
    )
  }
})

t.test('concurrent commands share syncs', async (t) => {
  const faulty = new FaultyDatabase()
  const { store } = await opened(t, { openDatabase: faulty.open })
  const writes = faulty.writes
  await Promise.all(Array.from({ length: 1500 }, (_, index) => store.publish(note(`user ${index % 10}`, index))))
  t.ok(faulty.writes - writes < 10, `${faulty.writes - writes} writes`)
})

t.test('close waits for the calls under way, refuses later ones, and may be called twice', async (t) => {
  const folder = await folderOf(t)
  const { store } = await opened(t, { folder })
  const publishes = [store.publish(note('a', 1)), store.publish(note('b', 1))]
  const closing = store.close()
  t.equal(store.close(), closing)
  await t.rejects(store.publish(note('a', 2)), { code: 'BELFRY_ERR_STORE_UNAVAILABLE' })
  for (const result of await Promise.all(publishes)) t.match(result, { status: 'accepted', offset: 1 })
  await closing
  t.match(store.status(), { available: false, reason: 'closed' })
  const again = await opened(t, { folder })
  t.match(await again.store.queue('b'), { head: { offset: 1 } })
})

t.test('a sweep releases everything that an earlier, lower limit parked', async (t) => {
  const folder = await folderOf(t)
  const limited = await opened(t, { folder, settings: { ...settings, rateLimit: 1, parkedMax: 500 } })
  await Promise.all(Array.from({ length: 300 }, (_, index) => limited.store.publish(note('a', index))))
  await limited.store.close()
  const { store } = await opened(t, { folder })
  t.same(await store.sweep(), swept({ released: 299 }))
  t.match(await store.queue('a'), { parked: 0, head: { offset: 300 } })
})

t.test('upkeep trims expired rows and removes idle users, and no others', async (t) => {
  const folder = await folderOf(t)
  const { store } = await opened(t, { folder, upkeepMs: 10 })
  const keysOf = async (): Promise<Map<string, number>> => {
    await store.close()
    const database = await openLevel(folder)
    const count = new Map<string, number>()
    for (const user of ['idle', 'connected', 'acked', 'fresh']) {
      const prefix = userPrefix(user)
      count.set(user, (await database.range(prefix, Buffer.concat([prefix, Buffer.from([0xff])]))).length)
    }
    await database.close()
    return count
  }
  for (const user of ['idle', 'connected', 'acked']) await store.publish(note(user, 1, true))
  await Promise.all(Array.from({ length: 250 }, (_, index) => store.publish(note(`filler ${index}`, 1))))
  const { head } = await store.queue('idle')
  await store.ack('idle', 'phone', head)
  await store.mark({ user: 'idle', target: { ids: [idOf(1)] }, state: 'read' })
  const attach = { deviceId: 'd', start: { at: 'latest' as const }, issuedAt: clock.now, seen: undefined, limit: 10 }
  await store.attach({ ...attach, user: 'connected', connections: [socket()] })
  clock.advance(settings.retentionMs)
  const trimmed = async (user: string): Promise<boolean> => (await store.queue(user)).first.offset === 0
  await until(async () => (await trimmed('idle')) && (await trimmed('filler 249')), 'the trimming')
  clock.advance(META_TTL_MS - 1000)
  const acked = await store.queue('acked')
  await store.ack('acked', 'phone', { ...acked.head, offset: 1 })
  await store.publish(note('fresh', 1))
  clock.advance(2000)
  await until(async () => (await store.queue('idle')).head.epoch === '', 'the removal')
  t.equal((await store.queue('connected')).head.offset, 2, 'its devices were told the count')
  t.match(await store.queue('acked'), { head: { offset: 1 }, devices: [{ deviceId: 'phone' }] })
  const count = await keysOf()
  t.equal(count.get('idle'), 0, 'no entry is left')
  t.ok((count.get('connected') ?? 0) > 0 && (count.get('acked') ?? 0) > 0 && (count.get('fresh') ?? 0) > 0)
})

t.test('a revocation outlives idle metadata, and is removed when no token from before it can be valid', async (t) => {
  const revocationTtlMs = 3 * META_TTL_MS
  const { store } = await opened(t, { upkeepMs: 10, settings: { ...settings, revocationTtlMs } })
  const revoke = (user: string) => store.disconnect({ user, connectionId: undefined, reason: '', revoke: true })
  await revoke('signed out')
  const revokedAt = await store.revokedBefore('signed out')
  t.equal(revokedAt, clock.now)
  await store.publish(note('idle', 1))
  clock.advance(settings.retentionMs)
  await until(async () => (await store.queue('idle')).first.offset === 0, 'the trimming')
  clock.advance(2 * META_TTL_MS)
  await until(async () => (await store.queue('idle')).head.epoch === '', 'the removal of an idle user')
  t.equal(await store.revokedBefore('signed out'), revokedAt)
  clock.advance(META_TTL_MS + 1)
  await until(async () => (await store.revokedBefore('signed out')) === 0, 'the end of the revocation')
})

t.test('for a step without effects only meta is written', async (t) => {
  const operations = encodeEffects(userPrefix('a'), { top: 0, floor: 0 }, { state: emptyState(), generation: 0, touched: 5 }, [])
  t.equal(operations.length, 1)
})
