import { rm } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { BATCH_MAX, BROADCAST_KEPT_MS, BROADCASTS_MAX } from '../../../services/store/audiences.ts'
import { FULL_RETRY_MS } from '../../../services/store/broadcast-step.ts'
import { audienceRange, encode, FIRST_NUMBER, ranges } from '../../../services/store/embedded/audience-codec.ts'
import { seal } from '../../../services/store/embedded/checksum.ts'
import { type Operation, openLevel } from '../../../services/store/embedded/database.ts'
import { examine, isSound, repair } from '../../../services/store/embedded/doctor.ts'
import { EmbeddedStore } from '../../../services/store/embedded/embedded-store.ts'
import type { BroadcastCommand, Store } from '../../../services/store/store.ts'
import { temporaryFolder } from '../../conformance/embedded-setup.ts'
import { baseSettings, Clock, idOf, Recorder, tailOf } from '../../conformance/stage.ts'

const clock = new Clock()
const settings = { ...baseSettings, clock: () => clock.now }

async function opened(t: Test, folder: string): Promise<EmbeddedStore> {
  const store = new EmbeddedStore({ folder, settings })
  t.teardown(() => store.close())
  await store.open('node', new Recorder())
  return store
}

async function folderOf(t: Test): Promise<string> {
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Returns the kinds of the entries of topics and broadcasts in a closed folder. */
async function kindsIn(folder: string): Promise<string[]> {
  const database = await openLevel(folder)
  const entries = await database.range(...audienceRange)
  await database.close()
  return entries.map(([key]) => key.toString('latin1', 0, 2))
}

/** Changes the folder of a closed store. */
async function write(folder: string, operations: Operation[]): Promise<void> {
  const database = await openLevel(folder)
  await database.write(operations)
  await database.close()
}

function command(number: number): BroadcastCommand {
  return { to: { topic: 'team', except: [] }, id: idOf(number), keyed: true, tail: tailOf(number), halfLife: 0 }
}

/** Carries out a broadcast to the team. */
async function broadcast({ audiences }: Store, number: number): Promise<string> {
  let result = await audiences.start(command(number)).then((started) => (started.status === 'started' ? started.batch : undefined))
  const id = result?.broadcastId ?? ''
  while (result !== undefined) {
    const { broadcastId, from, isRecall, users } = result
    const next = await audiences.settle({ broadcastId, from, isRecall, size: users.length, accepted: users.length, parked: 0, rejected: 0 })
    result = next.status === 'batch' ? next.batch : undefined
  }
  return id
}

t.test('the upkeep removes broadcasts that are no longer kept, and audiences of starts that were interrupted', async (t) => {
  const folder = await folderOf(t)
  const first = await opened(t, folder)
  await first.audiences.changeMembers({ topic: 'team', add: ['alice'], remove: [] })
  await broadcast(first, 1)
  clock.advance(BROADCAST_KEPT_MS)
  await broadcast(first, 2)
  await first.close()
  const orphan = encode.chunk(`00${idOf(9)}`, 0, ['bob'])
  if (orphan.type === 'put') await write(folder, [{ ...orphan, value: seal(orphan.key, orphan.value) }])
  t.same(await kindsIn(folder), ['ab', 'ab', 'ac', 'ac', 'ac', 'ak', 'ak', 'am', 'ar'])
  const second = await opened(t, folder)
  await second.audiences.upkeep()
  t.match(await second.audiences.start(command(1)), { status: 'started' }, 'the key is free')
  await second.close()
  t.same(await kindsIn(folder), ['ab', 'ab', 'ac', 'ac', 'ak', 'ak', 'am', 'aq', 'ar'])
})

t.test('damaged entries: members are left out, a batch is skipped, and the doctor finds and removes them', async (t) => {
  const folder = await folderOf(t)
  const first = await opened(t, folder)
  const names = Array.from({ length: BATCH_MAX + 2 }, (_, index) => `member ${String(index).padStart(4, '0')}`)
  await first.audiences.changeMembers({ topic: 'team', add: names, remove: [] })
  const started = await first.audiences.start(command(1))
  const id = started.status === 'started' ? started.broadcast.id : ''
  await first.close()
  const [member] = ranges.member('team', names[0] as string)
  const [chunk] = ranges.audience(id, 0)
  const damaged = Buffer.from('damaged')
  await write(
    folder,
    [member, chunk].map((key) => ({ type: 'put', key, value: damaged }))
  )
  const second = await opened(t, folder)
  t.same((await second.audiences.members('team', undefined, 2)).items, [names[1]])
  const next = await second.audiences.lease(id)
  t.match(next, { status: 'batch', batch: { from: BATCH_MAX, users: names.slice(BATCH_MAX) } })
  t.match(await second.audiences.broadcast(id), { status: 'running', rejected: BATCH_MAX })
  await second.close()
  const found = await examine(folder, clock.now)
  t.match(found, { damagedTopicEntries: 2, damagedUsers: [], files: [] })
  t.notOk(isSound(found))
  await repair(folder, found, clock.now)
  t.ok(isSound(await examine(folder, clock.now)))
})

t.test('a topic has a thousand broadcasts that wait', async (t) => {
  const folder = await folderOf(t)
  const first = await opened(t, folder)
  await first.audiences.changeMembers({ topic: 'team', add: ['alice'], remove: [] })
  await first.close()
  const places = Array.from({ length: BROADCASTS_MAX }, (_, index) => encode.wait('team', FIRST_NUMBER + index, `00${idOf(index)}`))
  await write(
    folder,
    places.map((place) => (place.type === 'put' ? { ...place, value: seal(place.key, place.value) } : place))
  )
  const second = await opened(t, folder)
  t.same(await second.audiences.start(command(1)), { status: 'full', retryAfterMs: FULL_RETRY_MS })
  t.match(await second.audiences.start({ ...command(1), to: { topic: 'others', except: [] } }), { status: 'started' })
})

t.test('an erasure removes the name from the place of a search for everyone, and from what broadcasts of other days left', async (t) => {
  const folder = await folderOf(t)
  const first = await opened(t, folder)
  const users = Array.from({ length: 2 * BATCH_MAX + 10 }, (_, index) => `user ${String(index).padStart(4, '0')}`)
  const last = users[2 * BATCH_MAX - 1] as string
  await Promise.all(users.map((user) => first.publish({ user, id: idOf(1), keyed: false, tail: tailOf(1), halfLife: 0 })))
  await first.audiences.changeMembers({ topic: 'team', add: [last], remove: [] })
  await broadcast(first, 1)
  clock.advance(BROADCAST_KEPT_MS)
  const started = await first.audiences.start({ ...command(2), to: { everyone: true, except: [] } })
  const id = started.status === 'started' ? started.broadcast.id : ''
  t.same(await first.audiences.lease(id), { status: 'collecting' })
  const names = [last, users[2 * BATCH_MAX] as string]
  for (const name of names) await first.erase(name)
  await first.close()
  const database = await openLevel(folder)
  const entries = await database.range(...audienceRange)
  await database.close()
  const texts = entries.flatMap(([key, value]) => [key.toString('utf16le', 4), value.toString()])
  for (const name of names) {
    const hex = Buffer.from(name, 'utf16le').toString('hex')
    t.notOk(
      texts.some((text) => text.includes(name) || text.includes(hex)),
      name
    )
  }
  const second = await opened(t, folder)
  const collected: string[] = []
  let result = await second.audiences.lease(id)
  while (result.status !== 'idle') {
    if (result.status === 'collecting') result = await second.audiences.lease(id)
    if (result.status !== 'batch') continue
    collected.push(...result.batch.users)
    const { broadcastId, from, isRecall, size } = result.batch
    result = await second.audiences.settle({ broadcastId, from, isRecall, size, accepted: size, parked: 0, rejected: 0 })
  }
  t.same(
    collected.sort(),
    users.filter((user) => !names.includes(user))
  )
})
