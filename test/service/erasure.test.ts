import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { isProblem } from '../fixtures/problem.ts'
import { ACTIONS as ANSWERS, startReach, subscribe } from '../fixtures/reach.ts'
import { answering } from '../fixtures/receiver.ts'
import { until } from '../fixtures/wait.ts'
import { environmentOf, STORES } from '../fixtures/watcher.ts'
import { call, ready, startService, type TestService, temporaryFolder, userToken } from '../helper.ts'

const CANARY = 'canary7Qz'
const ACTIONS = [{ action: 'approve', title: `Approve ${CANARY}` }]

/** Reads every file of a folder. */
function filesOf(folder: string): { name: string; bytes: Buffer }[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.map(({ name, parentPath }) => ({ name, bytes: readFileSync(join(parentPath, name)) }))
}

/** Returns where the canary is in the files of a folder, as they are and after a UTF-16 encoding. */
function inFiles(folder: string): string[] {
  const needles = [Buffer.from(CANARY), Buffer.from(CANARY, 'utf16le')]
  return filesOf(folder).flatMap(({ name, bytes }) => (needles.some((needle) => bytes.includes(needle)) ? [name] : []))
}

/**
 * Returns where the name of a user is in the files of a folder, except in the key of the entry that holds the time of the revocation, and in the
 * deletions of keys that never existed, at both ends of the user's range.
 *
 * @param isRestarted false: MANIFEST, which LevelDB rewrites at the start, may have the name as that of a former key
 */
function nameInFiles(folder: string, user: string, isRestarted = false): string[] {
  const name = Buffer.from(user, 'utf16le')
  const files = filesOf(folder).filter(({ name }) => isRestarted || !name.startsWith('MANIFEST'))
  return files.flatMap(({ name: file, bytes }) => {
    const found = bytes.includes(user) ? [file] : []
    for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1)) {
      const next = bytes[at + name.length] as number
      if (![0x61, 0x62, 0xfe].includes(next)) found.push(`${file}, before the byte ${next}`)
    }
    return found
  })
}

/** Returns the keys of a Redis that name or hold a text. */
async function inRedis(url: string, text = CANARY): Promise<string[]> {
  const redis = new Redis(url)
  const found: string[] = []
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key)
    const value =
      type === 'hash'
        ? await redis.hgetall(key)
        : type === 'list'
          ? await redis.lrange(key, 0, -1)
          : type === 'zset'
            ? await redis.zrange(key, '0', '-1')
            : type === 'set'
              ? await redis.smembers(key)
              : await redis.get(key)
    if (key.includes(text) || JSON.stringify(value).includes(text)) found.push(`${key}: ${JSON.stringify(value)}`)
  }
  redis.disconnect()
  return found
}

/** Gives a user everything that a store can hold of them, with the canary in each. */
async function fill(t: Test, service: TestService, user: string) {
  const publish = (body: Record<string, unknown>, key = '') =>
    call(
      service,
      'POST',
      '/v1/notifications',
      { to: user, type: `t.${CANARY}`, title: `Title ${CANARY}`, ref: `/${CANARY}`, data: { text: CANARY }, ...body },
      key === '' ? {} : { headers: { 'idempotency-key': key } }
    )
  const old = { token: userToken(user, { iat: Math.floor(Date.now() / 1000) - 10 }) }
  const phone = await ready(t, service, user, { ...old, deviceId: `phone ${CANARY}`, acks: true })
  const tab = await ready(t, service, user, { ...old, deviceId: `tab ${CANARY}` })
  const asked = await publish({ actions: ACTIONS, collapseKey: CANARY, ttl: 600 }, 'asked')
  await publish({ collapseKey: CANARY, actions: ACTIONS, ttl: 700 })
  const question = await publish({ actions: ACTIONS })
  const answered = await call(
    service,
    'POST',
    `/v1/me/notifications/${question.body.id}/actions/approve`,
    { deviceId: `answer ${CANARY}` },
    old
  )
  t.equal(answered.status, 200)
  const parked = await publish({ halfLife: 1000 }, 'parked')
  await publish({ deliverAt: Date.now() + 600_000, collapseKey: `later ${CANARY}` }, 'scheduled')
  await tab.until(() => tab.all('answered')[0])
  return { publish, phone, tab, asked, parked, old }
}

for (const store of STORES) {
  t.test(`${store}: after an erasure nothing of the user is in the store, whatever comes later`, async (t) => {
    const folder = temporaryFolder(t)
    const environment = { RATE_LIMIT_MAX: '3', RATE_LIMIT_WINDOW_MS: '3600000', DATA_DIR: folder, ...(await environmentOf(t, store)) }
    const service = await startService(t, environment)
    const other = store === 'redis' ? await startService(t, environment) : service
    const find = async (): Promise<string[]> =>
      'REDIS_URL' in environment ? await inRedis(String(environment.REDIS_URL)) : inFiles(folder)
    const { publish, phone, tab, asked, parked, old } = await fill(t, service, 'alice')
    const remote = await ready(t, other, 'alice', { ...old, deviceId: `remote ${CANARY}` })
    await call(service, 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: 'stays' })
    t.equal(parked.body.results[0].status, 'parked')
    t.ok((await find()).length > 0, 'the canary is there before')

    const erased = await call(service, 'DELETE', '/v1/users/alice')
    t.same([erased.status, erased.body], [204, ''])
    for (const client of [phone, tab, remote]) t.same(await client.whenClosed(), { code: 4003, reason: 'erased' })
    await until(async () => (await find()).length === 0, 'nothing is left').catch(() => undefined)
    t.same(await find(), [])

    // A cursor, a detach, a mark and a read that were under way on a node.
    const { store: used, offlineQueue } = other.app
    const { eventId } = tab.all('notification')[0] ?? { eventId: '' }
    const [epoch = '', offset, id8 = ''] = eventId.split('.')
    const position = { epoch, offset: Number(offset), id8 }
    offlineQueue.ack('alice', `phone ${CANARY}`, position)
    await used.ack('alice', `tab ${CANARY}`, position)
    await used.detach('alice', [])
    await used.mark({ user: 'alice', target: { upTo: position }, state: 'read' })
    await used.mark({ user: 'alice', target: { ids: [asked.body.id] }, state: 'read' })
    await used.answer({ user: 'alice', id: asked.body.id, action: 'approve', deviceId: `late ${CANARY}` })
    await used.retract('alice', asked.body.id, `late ${CANARY}`)
    await used.advance('alice')
    await until(async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.devices.length === 0)
    t.same(await find(), [])

    isProblem(t, await call(service, 'GET', '/v1/me/notifications', undefined, old), 401, 'TOKEN_REVOKED')
    t.same((await call(service, 'GET', '/v1/users/alice/notifications')).body, { items: [], nextCursor: null, unread: 0, unseen: 0 })
    t.match((await call(service, 'GET', '/v1/users/alice/queue')).body, {
      head: '',
      parked: 0,
      scheduled: 0,
      unread: 0,
      unseen: 0,
      devices: []
    })
    t.same((await call(service, 'GET', '/v1/users/alice/scheduled')).body, { items: [], nextCursor: null })
    t.same((await call(service, 'GET', '/v1/users/alice/connections')).body, { items: [] })
    t.equal((await call(service, 'GET', '/v1/users/bob/notifications')).body.unread, 1, 'another user stays')

    const again = await publish({ title: 'new', data: {}, type: 'a', ref: '/' }, 'asked')
    t.match(again.body.results, [{ status: 'accepted' }], 'also the idempotency keys and the rate are new')
    t.equal(again.status, 202)
    t.match(again.body.results[0].eventId, /^\w+\.1\./)
    t.not(again.body.results[0].eventId.split('.')[0], epoch, 'a new log')
    const later = Math.floor(Date.now() / 1000) + 1
    const fresh = await ready(t, service, 'alice', { token: userToken('alice', { iat: later }), deviceId: 'new' })
    t.match(fresh.all('notification'), [{ notification: { title: 'new' } }])
    await service.close()
    if (store === 'embedded') t.same(inFiles(folder), [], 'also after a restart')
  })
}

for (const store of STORES) {
  t.test(`${store}: after an erasure the name of the user is nowhere, whatever broadcasts and topics they were in`, async (t) => {
    const user = 'name4Kx of a canary'
    // Pushes and webhooks fail, so that they wait.
    const folder = temporaryFolder(t)
    const { service, environment, push, hooks } = await startReach(t, store, {
      DATA_DIR: folder,
      WEBHOOK_EVENTS: 'notification.fallback,notification.answered,notification.expired,user.online,user.offline',
      PRESENCE_GRACE_SECONDS: '1'
    })
    for (const receiver of [push.receiver, hooks]) receiver.behaviour = answering(503)
    const find = async (): Promise<string[]> => {
      if ('REDIS_URL' in environment) return (await inRedis(String(environment.REDIS_URL), user)).filter((text) => !isRevocation(text))
      return nameInFiles(folder, user)
    }
    const isRevocation = (text: string): boolean => /}:m:name4Kx of a canary: {"r":"\d+","z":"\d+"}$/.test(text)
    const publish = (to: unknown, more: Record<string, unknown> = {}, key?: string) =>
      call(
        service,
        'POST',
        '/v1/notifications',
        { to, type: 'a', title: 't', ...more },
        key === undefined ? {} : { headers: { 'idempotency-key': key } }
      )
    const members = (topic: string, body: unknown) => call(service, 'PATCH', `/v1/topics/${topic}/members`, body)
    const ended = async ({ body }: Awaited<ReturnType<typeof call>>) =>
      await until(async () => {
        const { body: found } = await call(service, 'GET', `/v1/broadcasts/${body.broadcast.id}`)
        return found.status === 'running' ? undefined : found
      }, 'the end of a broadcast')
    const client = await ready(t, service, user, { token: userToken(user, { iat: Math.floor(Date.now() / 1000) - 10 }), deviceId: 'd' })
    await subscribe({ service, push }, user)
    await members('team', { add: [user, 'bob'] })
    await members('left', { add: [user] })
    await members('left', { remove: [user] })
    await members('deleted', { add: [user, 'bob'] })
    await call(service, 'DELETE', '/v1/topics/deleted')
    const fallback = { after: 1 }
    const own = await publish(user, { actions: ANSWERS, fallback }, 'own')
    await call(service, 'POST', `/v1/me/notifications/${own.body.id}/actions/approve`, {}, { token: userToken(user) })
    await publish([user, 'bob'], { deliverAt: Date.now() + 600_000, collapseKey: 'c' }, 'several')
    const before = [
      await publish({ topic: 'team' }, { ttl: 600, collapseKey: 'k', fallback }, 'keyed'),
      await publish({ topic: 'team', except: [user] }),
      await publish({ topic: 'team', except: [user, 'carol'] }, {}, 'excepting'),
      await publish({ topic: 'team' }, { deliverAt: Date.now() + 600_000 }),
      await publish({ topic: 'team', except: ['bob'] }),
      await publish({ everyone: true }),
      await publish({ everyone: true, except: [user] })
    ]
    for (const answer of before) await ended(answer)
    await call(service, 'DELETE', `/v1/broadcasts/${before[4]?.body.broadcast.id}`)
    await until(async () => (await find()).length > 0, 'the name')
    const during = Array.from({ length: 4 }, () => publish({ topic: 'team' }))
    const [erased] = await Promise.all([call(service, 'DELETE', `/v1/users/${encodeURIComponent(user)}`), ...during])
    t.equal(erased.status, 204)
    t.equal((await client.whenClosed()).reason, 'erased')
    for (const answer of await Promise.all(during)) await ended(answer)
    await ended(await publish({ topic: 'team' }))
    await ended(await publish({ everyone: true }))
    t.same(await find(), [])
    t.same((await call(service, 'GET', `/v1/users/${encodeURIComponent(user)}/notifications`)).body.items, [], 'no broadcast began a log')
    const excepting = await publish({ topic: 'team', except: [user, 'carol'] }, {}, 'excepting')
    t.same([excepting.status, excepting.body.broadcast.id], [200, before[2]?.body.broadcast.id], 'a repeat is answered as before')
    t.same((await call(service, 'GET', `/v1/broadcasts/${excepting.body.broadcast.id}`)).body.to, { topic: 'team', except: ['carol'] })
    t.same(await find(), [], 'and writes nothing')
    await service.close()
    t.same(await find(), [])
    if (store === 'redis') return
    await (await startService(t, environment)).close()
    t.same(nameInFiles(folder, user, true), [], 'after a restart')
  })
}

t.test('an erasure while publishes and acknowledgements are under way leaves one new log at most', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const client = await ready(t, service, 'alice', {
    token: userToken('alice', { iat: Math.floor(Date.now() / 1000) - 10 }),
    deviceId: 'd',
    acks: true
  })
  const send = () => call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 't' })
  const answers = await Promise.all([
    ...Array.from({ length: 20 }, send),
    call(service, 'DELETE', '/v1/users/alice'),
    ...Array.from({ length: 20 }, send)
  ])
  t.ok(answers.every(({ status }) => status === 202 || status === 204))
  t.equal((await client.whenClosed()).reason, 'erased')
  const { body } = await call(service, 'GET', '/v1/users/alice/notifications?limit=200')
  const { body: queue } = await call(service, 'GET', '/v1/users/alice/queue')
  const epochs = new Set(body.items.map(({ eventId }: { eventId: string }) => eventId.split('.')[0]))
  t.ok(epochs.size <= 1)
  t.equal(body.unread, body.items.length)
  t.same(queue.devices, [])
  t.equal((await call(service, 'DELETE', '/v1/users/nobody')).status, 204)
})
