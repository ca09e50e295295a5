import t from 'tap'
import { isProblem } from '../fixtures/problem.ts'
import { call, connect, startService, type TestService, userToken } from '../helper.ts'

const NO_LIMIT = { RATE_LIMIT_MAX: '0' }
const NOTE = { type: 'sync.done', title: 'Sync finished' }

function publish(service: TestService, body: unknown): ReturnType<typeof call> {
  return call(service, 'POST', '/v1/notifications', body)
}

t.test('the inbox, by the service and by the user', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const mine = { token: userToken('alice') }
  const ids: string[] = []
  for (let n = 1; n <= 7; n++) ids.push((await publish(service, { to: 'alice', ...NOTE, title: String(n) })).body.id)

  for (const [path, options] of [
    ['/v1/users/alice/notifications', {}],
    ['/v1/me/notifications', mine]
  ] as const) {
    await t.test(path, async (t) => {
      const get = (query: string) => call(service, 'GET', path + query, undefined, options)
      const all = await get('')
      t.equal(all.status, 200)
      t.same(
        all.body.items.map(({ title }: { title: string }) => title),
        ['7', '6', '5', '4', '3', '2', '1']
      )
      t.match(all.body, { nextCursor: null, unread: 7, unseen: 7 })
      t.equal(all.body.items[6].id, ids[0])
      t.match(all.body.items[6].eventId, /^\w+\.1\.[\w-]{8}$/)
      const seen: string[] = []
      let cursor = ''
      let pages = 0
      do {
        const { body } = await get(`?limit=3${cursor}`)
        seen.push(...body.items.map(({ title }: { title: string }) => title))
        cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`
        pages += 1
      } while (cursor !== '' && pages < 9)
      t.same(seen, ['7', '6', '5', '4', '3', '2', '1'])
      t.equal(pages, 3)
      for (const query of [
        '?limit=0',
        '?limit=201',
        '?limit=x',
        '?cursor=-1',
        '?cursor=abc',
        '?cursor=0',
        '?state=gone',
        '?state=parked',
        '?page=2'
      ]) {
        isProblem(t, await get(query), 400, 'INVALID_REQUEST', query)
      }
      t.equal((await call(service, 'GET', `${path}/${ids[2]}`, undefined, options)).body.title, '3')
      isProblem(t, await call(service, 'GET', `${path}/unknown`, undefined, options), 404, 'NOT_FOUND')
      isProblem(t, await call(service, 'GET', `${path}/${'x'.repeat(65)}`, undefined, options), 400, 'INVALID_REQUEST')
    })
  }

  await t.test('mark: ids and upTo; state frames reach the devices; unread follows', async (t) => {
    const client = await connect(t, service, 'alice', { deviceId: 'd', acks: true })
    await client.next('caughtUp')
    const mark = (body: unknown, path = '/v1/users/alice/notifications/mark', options = {}) => call(service, 'POST', path, body, options)
    const me = '/v1/me/notifications/mark'
    t.same((await mark({ ids: [ids[6]], state: 'seen' })).body, { ids: [ids[6]], unread: 7, unseen: 6, durability: 'fsync' })
    t.match(await client.next('state'), { ids: [ids[6]], state: 'seen', unread: 7, unseen: 6 })
    t.same((await mark({ ids: [ids[6], ids[6], 'unknown'], state: 'read' }, me, mine)).body, {
      ids: [ids[6]],
      unread: 6,
      unseen: 6,
      durability: 'fsync'
    })
    t.match(await client.next('state'), { ids: [ids[6]], state: 'read', unread: 6, unseen: 6 })
    t.same((await mark({ ids: [ids[6]], state: 'read' })).body, { ids: [], unread: 6, unseen: 6, durability: 'fsync' }, 'already read')
    t.same((await mark({ ids: [ids[0]], state: 'archived' }, me, mine)).body, { ids: [ids[0]], unread: 5, unseen: 5, durability: 'fsync' })
    const { body } = await call(service, 'GET', `/v1/users/alice/notifications/${ids[2]}`)
    t.same((await mark({ upTo: body.eventId, state: 'read' })).body, { ids: [ids[1], ids[2]], unread: 3, unseen: 3, durability: 'fsync' })
    t.same((await mark({ ids: [ids[2]], state: 'unread' })).body, { ids: [ids[2]], unread: 4, unseen: 4, durability: 'fsync' })
    for (const path of [undefined, me]) {
      const late = { ids: [ids[2]], state: 'read', ageMs: 3600_000 }
      t.same(
        (await mark(late, path, path === me ? mine : {})).body,
        { ids: [], unread: 4, unseen: 4, durability: 'fsync' },
        'a mark made an hour ago does not undo a later one'
      )
    }
    const by = async (state: string) =>
      (await call(service, 'GET', `/v1/users/alice/notifications?state=${state}`)).body.items.map(({ title }: { title: string }) => title)
    t.same(await by('read'), ['7', '2'])
    t.same(await by('archived'), ['1'])
    t.same(await by('unread'), ['6', '5', '4', '3'])
    await mark({ ids: [ids[5]], state: 'seen' })
    t.same(await by('seen'), ['6'])
    t.same(await by('unread'), ['6', '5', '4', '3'], 'seen is not read')
    for (const bad of [
      { state: 'read' },
      { ids: [], state: 'read' },
      { ids: [ids[0]], upTo: body.eventId, state: 'read' },
      { upTo: 'never', state: 'read' },
      { ids: [ids[0]], state: 'gone' },
      { ids: [ids[0]] },
      { ids: [7], state: 'read' },
      { ids: [ids[0]], state: 'read', more: 1 },
      { ids: [ids[0]], state: 'read', ageMs: -1 },
      { ids: [ids[0]], state: 'read', ageMs: 1.5 }
    ]) {
      isProblem(t, await mark(bad), 400, 'INVALID_REQUEST', JSON.stringify(bad))
      isProblem(t, await mark(bad, me, mine), 400, 'INVALID_REQUEST')
    }
    isProblem(t, await mark({ ids: Array.from({ length: 1001 }, () => 'x'), state: 'read' }), 413, 'TOO_LARGE')
  })

  await t.test('a user cannot see the inbox of another user', async (t) => {
    const bob = { token: userToken('bob') }
    t.same((await call(service, 'GET', '/v1/me/notifications', undefined, bob)).body, { items: [], nextCursor: null, unread: 0, unseen: 0 })
    isProblem(t, await call(service, 'GET', `/v1/me/notifications/${ids[0]}`, undefined, bob), 404, 'NOT_FOUND')
    t.same((await call(service, 'POST', '/v1/me/notifications/mark', { ids, state: 'read' }, bob)).body, {
      ids: [],
      unread: 0,
      unseen: 0,
      durability: 'fsync'
    })
    isProblem(t, await call(service, 'DELETE', `/v1/me/notifications/${ids[0]}`, undefined, bob), 404, 'NOT_FOUND')
  })
})

t.test('a cursor or an upTo of an earlier log is 409, since its offsets name other rows', async (t) => {
  const service = await startService(t, NO_LIMIT)
  for (let n = 0; n < 3; n++) await publish(service, { to: 'alice', ...NOTE })
  const path = '/v1/users/alice/notifications'
  const page = (await call(service, 'GET', `${path}?limit=1`)).body
  const place = page.nextCursor.replace(/^[^.]+/, 'other1')
  isProblem(t, await call(service, 'GET', `${path}?limit=1&cursor=${place}`), 409, 'LOG_RESTARTED')
  const mine = { token: userToken('alice') }
  isProblem(t, await call(service, 'GET', `/v1/me/notifications?cursor=${place}`, undefined, mine), 409, 'LOG_RESTARTED')
  const upTo = 'other1.2.aaaaaaaa'
  isProblem(t, await call(service, 'POST', `${path}/mark`, { upTo, state: 'read' }), 409, 'LOG_RESTARTED')
  const client = await connect(t, service, 'alice')
  await client.next('caughtUp')
  client.send({ type: 'mark', ref: 1, upTo, state: 'read' })
  t.match(await client.next('error'), { ref: 1, code: 'BELFRY_ERR_LOG_RESTARTED', temporary: false })
  client.send({ type: 'mark', ref: 2, upTo: page.items[0].eventId, state: 'read' })
  t.match(await client.next('ok'), { ref: 2, unread: 0, durability: 'fsync' })
})

t.test('recall', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const one = await connect(t, service, 'alice', { deviceId: 'one', acks: true })
  const two = await connect(t, service, 'alice', { deviceId: 'two', acks: true })
  for (const client of [one, two]) await client.next('caughtUp')
  const shown = (await publish(service, { to: 'alice', ...NOTE })).body.id
  for (const client of [one, two]) await client.next('notification')
  const recalled = await call(service, 'DELETE', `/v1/users/alice/notifications/${shown}`)
  t.same([recalled.status, recalled.body], [204, ''])
  t.equal(recalled.headers.get('belfry-durability'), 'fsync')
  for (const client of [one, two]) t.match(await client.next('retract'), { id: shown, reason: 'recalled', unread: 0 })
  isProblem(t, await call(service, 'DELETE', `/v1/users/alice/notifications/${shown}`), 404, 'NOT_FOUND', 'recalled before')
  isProblem(t, await call(service, 'GET', `/v1/users/alice/notifications/${shown}`), 404, 'NOT_FOUND')
  isProblem(t, await call(service, 'DELETE', '/v1/users/alice/notifications/unknown'), 404, 'NOT_FOUND')

  const pending = (await publish(service, { to: 'bob', ...NOTE, title: 'never' })).body.id
  t.equal((await call(service, 'DELETE', `/v1/users/bob/notifications/${pending}`)).status, 204)
  const bob = await connect(t, service, 'bob')
  await bob.next('caughtUp')
  t.same(
    bob.frames.map(({ type }) => type),
    ['hello', 'caughtUp']
  )
  t.same((await call(service, 'GET', '/v1/users/bob/notifications')).body, { items: [], nextCursor: null, unread: 0, unseen: 0 })
})
