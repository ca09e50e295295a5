import t from 'tap'
import { isProblem } from '../fixtures/problem.ts'
import { environmentOf, STORES, TRANSPORTS, watch } from '../fixtures/watcher.ts'
import { call, ready, startService, type TestService, userToken } from '../helper.ts'

const TYPES = ['sync.done', 'deploy', 'sync.failed', 'invoice, paid', 'sync.done', 'note*', 'deploy']

async function publishTypes(service: TestService, user: string, types = TYPES): Promise<{ id: string; eventId: string }[]> {
  const sent: { id: string; eventId: string }[] = []
  for (const [index, type] of types.entries()) {
    const { body } = await call(service, 'POST', '/v1/notifications', { to: user, type, title: String(index + 1) })
    sent.push({ id: body.id, eventId: body.results[0].eventId })
  }
  return sent
}

for (const name of STORES) {
  t.test(`${name}: the inbox filters by types and states, in exact pages, and counts`, async (t) => {
    const service = await startService(t, { ...(await environmentOf(t, name)), RATE_LIMIT_MAX: '0' })
    const sent = await publishTypes(service, 'alice')
    const mine = { token: userToken('alice') }
    await call(service, 'POST', '/v1/me/notifications/mark', { ids: [sent[0]?.id], state: 'read' }, mine)
    await call(service, 'POST', '/v1/me/notifications/mark', { ids: [sent[2]?.id], state: 'seen' }, mine)
    await call(service, 'POST', '/v1/me/notifications/mark', { ids: [sent[1]?.id], state: 'archived' }, mine)
    for (const [path, options] of [
      ['/v1/users/alice/notifications', {}],
      ['/v1/me/notifications', mine]
    ] as const) {
      const page = async (query: string) => (await call(service, 'GET', `${path}?${query}`, undefined, options)).body
      const titles = async (query: string): Promise<string> => {
        const { items } = await page(query)
        return items.map(({ title }: { title: string }) => title).join('')
      }
      t.equal(await titles('type=sync.*'), '531')
      t.equal(await titles('type=sync.done'), '51')
      t.equal(await titles('type=sync.done,deploy'), '7521')
      t.equal(await titles('type=sync.f*,deploy&state=unread'), '73')
      t.equal(await titles('type=sync.*&state=read,archived'), '1')
      t.equal(await titles('state=archived,read'), '21')
      t.equal(await titles('state=seen'), '3')
      t.equal(await titles('state=unread'), '76543', 'seen is not read')
      t.equal(await titles('state=unread,unread,seen'), '76543')
      t.equal(await titles('type=*'), '7654321')
      t.equal(await titles('type=invoice*'), '4', 'a type with a comma, by a prefix')
      t.equal(await titles('type=note*'), '6')
      t.equal(await titles('type=sync,Sync.*,sync.done.'), '')
      t.match(await page('type=sync.*&count=true&limit=1'), { count: 3, unread: 5, unseen: 4, items: [{ title: '5' }] })
      t.match(await page('count=true&state=archived'), { count: 1, nextCursor: null })
      t.notOk('count' in (await page('type=sync.*')))
      t.notOk('count' in (await page('count=false')))
      const seen: string[] = []
      let cursor = ''
      for (let n = 0; n < 3; n++) {
        const { items, nextCursor, count } = await page(`type=sync.*&limit=1&count=true${cursor}`)
        seen.push(items[0].title)
        t.equal(count, 3)
        t.equal(nextCursor === null, n === 2, 'the last page has no cursor')
        cursor = `&cursor=${nextCursor}`
      }
      t.same(seen, ['5', '3', '1'])
    }
  })

  for (const transport of TRANSPORTS) {
    t.test(`${name}, ${transport}: unseen is in every frame that has unread, and a mark with only names what it changed`, async (t) => {
      const service = await startService(t, { ...(await environmentOf(t, name)), RATE_LIMIT_MAX: '0' })
      const mine = { token: userToken('kim') }
      const client = await watch(t, service, 'kim', transport, 'd')
      t.match(client.all('hello')[0], { unread: 0, unseen: 0 })
      t.match(client.all('caughtUp')[0], { unread: 0, unseen: 0 })
      const [one, two, three] = await publishTypes(service, 'kim', ['a', 'b', 'c'])
      const mark = async (body: unknown) => (await call(service, 'POST', '/v1/me/notifications/mark', body, mine)).body
      t.match(await mark({ ids: [one?.id, two?.id], state: 'seen' }), { unread: 3, unseen: 1 })
      t.match(await client.nth('state', 1), { state: 'seen', unread: 3, unseen: 1 })
      const upTo = three?.eventId
      t.match(await mark({ upTo, state: 'read', only: 'seen' }), { ids: [one?.id, two?.id], unread: 1, unseen: 1 })
      t.match(await client.nth('state', 2), { state: 'read', unread: 1, unseen: 1 })
      t.same((await mark({ upTo, state: 'archived', only: 'read' })).ids, [one?.id, two?.id])
      t.same((await mark({ upTo, state: 'archived', only: 'read' })).ids, [], 'the second time nothing changes')
      t.same((await mark({ ids: [one?.id, two?.id], state: 'read' })).ids, [one?.id, two?.id], 'the undo')
      await call(service, 'DELETE', `/v1/users/kim/notifications/${three?.id}`)
      t.match(await client.nth('retract', 1), { unread: 0, unseen: 0 })
      await publishTypes(service, 'kim', ['d'])
      t.match((await call(service, 'GET', '/v1/users/kim/queue')).body, { unread: 1, unseen: 1 })
      const late = await watch(t, service, 'kim', transport, 'late')
      const counted = late.frames().filter((frame) => 'unread' in frame)
      t.ok(counted.length >= 2)
      for (const frame of counted) t.match(frame, { unread: 1, unseen: 1 }, frame.type)
    })
  }

  t.test(`${name}: the frame mark with only answers with ids`, async (t) => {
    const service = await startService(t, { ...(await environmentOf(t, name)), RATE_LIMIT_MAX: '0' })
    const client = await ready(t, service, 'lea', { deviceId: 'd', acks: true })
    const [one, two] = await publishTypes(service, 'lea', ['a', 'b'])
    client.send({ type: 'mark', ref: 1, ids: [one?.id], state: 'read' })
    const durability = name === 'redis' ? 'none' : 'fsync'
    t.same(await client.next('ok'), { type: 'ok', ref: 1, unread: 1, unseen: 1, durability })
    const archive = { type: 'mark', upTo: two?.eventId, state: 'archived', only: 'read' }
    client.send({ ...archive, ref: 2 })
    t.match(await client.next('ok'), { ref: 2, ids: [one?.id], unread: 1, unseen: 1 })
    client.send({ ...archive, ref: 3 })
    t.match(await client.next('ok'), { ref: 3, ids: [], unread: 1, unseen: 1 })
    for (const only of ['gone', '__proto__', '', null, 7, ['read'], {}]) {
      client.send({ ...archive, ref: 4, only })
      t.match(await client.next('error'), { ref: 4, code: 'BELFRY_ERR_INVALID_REQUEST', temporary: false }, JSON.stringify(only))
    }
    t.equal(client.closed, undefined)
  })

  t.test(`${name}: lists and patterns that are not valid are 400, others of any text are 200`, async (t) => {
    const service = await startService(t, { ...(await environmentOf(t, name)), RATE_LIMIT_MAX: '0' })
    await publishTypes(service, 'max')
    const get = (query: string) => call(service, 'GET', `/v1/users/max/notifications?${query}`)
    const ten = Array.from({ length: 10 }, (_, n) => `t${n}`).join(',')
    for (const query of [
      'type=',
      'type=,',
      'type=a,',
      'type=,a',
      'type=a,,b',
      'type=*a',
      'type=a*b',
      'type=a**',
      'type=**',
      'type=sync.*.done',
      `type=${ten},eleven`,
      `type=${'x'.repeat(129)}`,
      `type=${'x'.repeat(129)}*`,
      `type=${','.repeat(4000)}`,
      'type=a&type=b',
      'state=',
      'state=read,',
      'state=Read',
      'state=read%20,archived',
      'state=__proto__',
      'state=constructor,read',
      'state=parked',
      'state=read&state=seen',
      'count=',
      'count=yes',
      'count=1',
      'count=true&count=true'
    ]) {
      isProblem(t, await get(query), 400, 'INVALID_REQUEST', query.slice(0, 40))
    }
    for (const text of ['%', '%a+', '.^$()', '"', '\\', '\u0000', '\n', 'Grüße', '😀', '"type":"', "';--", 'x'.repeat(128)]) {
      for (const pattern of [text, `${text}*`]) {
        const answer = await get(`type=${encodeURIComponent(pattern)}&count=true`)
        t.match([answer.status, answer.body.count], [200, 0], JSON.stringify(pattern).slice(0, 40))
      }
    }
    t.equal((await get(`type=${ten}&count=true`)).body.count, 0)
    const bad = { upTo: 'k3f9q2.41.a81c22e0', state: 'archived' }
    for (const only of ['gone', '', null, 7, ['read']]) {
      const answer = await call(service, 'POST', '/v1/users/max/notifications/mark', { ...bad, only })
      isProblem(t, answer, 400, 'INVALID_REQUEST', JSON.stringify(only))
    }
  })
}
