import t, { type Test } from 'tap'
import { Belfry, type BelfryOptions } from '../../packages/server/src/index.ts'
import { until } from '../fixtures/wait.ts'
import { BatchService, problem, reply } from './batch-service.ts'

const note = (title: string) => ({ type: 'test', title })

async function start(t: Test, options: Partial<BelfryOptions> = {}): Promise<{ service: BatchService; belfry: Belfry }> {
  const service = await BatchService.start(t)
  return { service, belfry: new Belfry(service.url, { apiKey: 'a key', ...options } as BelfryOptions) }
}

/** Makes requests wait until `open` is called. */
function gate(): { wait: Promise<void>; open: () => void } {
  let open = (): void => undefined
  const wait = new Promise<void>((resolve) => {
    open = resolve
  })
  return { wait, open }
}

t.test('the first call goes at once; calls made while four requests are under way go in one', async (t) => {
  const { service, belfry } = await start(t)
  const first = gate()
  service.script = ({ number }) => (number < 4 ? first.wait : undefined)
  const calls: Promise<unknown>[] = []
  for (let n = 1; n <= 4; n++) {
    calls.push(belfry.notify(`user-${n}`, note(`call ${n}`)))
    await until(() => service.requests.length === n, `request ${n}`)
  }
  for (let n = 5; n <= 104; n++) calls.push(belfry.notify(`user-${n}`, note(`call ${n}`)))
  t.same(service.sizes, [1, 1, 1, 1])
  first.open()
  await Promise.all(calls)
  t.same(service.sizes, [1, 1, 1, 1, 100])
  t.equal(service.mostOpen, 4)
  t.equal(service.published.length, 104)
  t.match(service.requests[0]?.headers, { authorization: 'Bearer a key', 'content-type': 'application/json' })
})

t.test('calls made in a row go in batches of 1,000, within the bytes of a body, and a result belongs to its call', async (t) => {
  const { service, belfry } = await start(t)
  const many = Array.from({ length: 10_000 }, (_, n) => belfry.notify(`user-${n}`, note(`call ${n}`)))
  const results = await Promise.all(many)
  t.same(service.sizes, Array(10).fill(1000))
  t.ok(service.mostOpen <= 4)
  t.ok(results.every(({ user, status, durability }, n) => user === `user-${n}` && status === 'accepted' && durability === 'fsync'))
  t.equal(new Set(results.map(({ id }) => id)).size, 10_000)

  service.requests.length = 0
  const large = Array.from({ length: 12 }, (_, n) => belfry.notify(`user-${n}`, { ...note('ü'), data: { text: 'é'.repeat(400_000) } }))
  await Promise.all(large)
  t.equal(service.requests.length, 2)
  for (const { bytes } of service.requests) t.ok(bytes <= 8_388_608, `${bytes} bytes`)
})

t.test('a list and an audience resolve with theirs', async (t) => {
  const { belfry } = await start(t)
  t.match(await belfry.notify(['alice', 'bob', 'alice'], note('list')), { id: 'id-1', results: [{ user: 'alice' }, { user: 'bob' }] })
  const audience = await belfry.notify({ topic: 'project-42', except: ['alice'] }, note('topic'))
  t.same(audience, { id: 'id-2', durability: 'fsync', broadcast: { id: 'job-2', status: 'running' } })
  t.match(await belfry.notify({ everyone: true }, note('all')), { broadcast: { id: 'job-3' } })
})

t.test('requests under way never have a user in common, and a burst for one user does not hold up others', async (t) => {
  const { service, belfry } = await start(t)
  const underWay = new Set<string>()
  let overlaps = 0
  service.script = async ({ items, number }) => {
    const users = new Set(items.flatMap(({ to }) => to as string | string[]))
    for (const user of users) {
      if (underWay.has(user)) overlaps += 1
      underWay.add(user)
    }
    await new Promise((resolve) => setTimeout(resolve, (number * 7) % 5))
    for (const user of users) underWay.delete(user)
  }
  const calls: Promise<unknown>[] = []
  const users = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank']
  const made = new Map<string, string[]>(users.map((user) => [user, []]))
  for (let n = 0; n < 3000; n++) {
    const to = n % 11 === 0 ? [users[n % 6] as string, users[(n * 5 + 1) % 6] as string] : (users[(n * 13) % 6] as string)
    for (const user of new Set([to].flat())) made.get(user)?.push(`${n}`)
    calls.push(belfry.notify(to, note(`${n}`)))
    if (n % 37 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(calls)
  t.equal(overlaps, 0)
  const position = new Map(service.published.map((title, index) => [title, index]))
  for (const [user, titles] of made) {
    const places = titles.map((title) => position.get(title) as number)
    t.same(
      places,
      [...places].sort((one, other) => one - other),
      `${user}: published in the order of the calls`
    )
  }
  const held = gate()
  service.requests.length = 0
  service.script = ({ items }) => (items.some(({ to }) => to === 'alice') ? held.wait : undefined)
  const burst = Array.from({ length: 2500 }, (_, n) => belfry.notify('alice', note(`burst ${n}`)))
  await until(() => service.requests.length === 1, 'the burst')
  await belfry.notify('bob', note('not held up'))
  t.equal(service.requests.length, 2)
  held.open()
  await Promise.all(burst)
})

t.test('order and single publication hold through failures of any kind', async (t) => {
  const { service, belfry } = await start(t)
  let random = 7
  const draw = (below: number): number => {
    random = (random * 1103515245 + 12345) % 2 ** 31
    return Math.floor((random / 2 ** 31) * below)
  }
  service.script = ({ items }, response) => {
    const what = draw(6)
    if (what === 0) response.destroy()
    else if (what === 1) {
      // Carried out, and the answer is lost.
      for (const item of items) service.carryOut(item)
      response.destroy()
    } else if (what === 2) {
      for (const item of items.slice(0, draw(items.length))) service.carryOut(item)
      response.destroy()
    } else if (what === 3) reply(response, 503, problem(503, 'BELFRY_ERR_OVERLOADED', 1))
    else if (what === 4) response.writeHead(502).end('<html>')
  }
  const made: Record<string, string[]> = {}
  const calls: Promise<unknown>[] = []
  for (let n = 0; n < 600; n++) {
    const user = `user-${n % 5}`
    made[user] = [...(made[user] ?? []), `${user} ${n}`]
    calls.push(belfry.notify(user, note(`${user} ${n}`)))
    if (n % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await Promise.all(calls)
  t.equal(service.published.length, 600)
  for (const [user, titles] of Object.entries(made)) {
    t.same(
      service.published.filter((title) => title.startsWith(`${user} `)),
      titles,
      user
    )
  }
})

t.test('an item that is refused fails its call alone', async (t) => {
  const { service, belfry } = await start(t)
  service.script = ({ items }, response) => {
    const results = items.map((item) =>
      item.title === 'bad' ? { problem: problem(422, 'BELFRY_ERR_IDEMPOTENCY_CONFLICT') } : service.carryOut(item)
    )
    reply(response, 202, { results })
  }
  const calls = ['good 1', 'bad', 'good 2'].map((title) => belfry.notify('alice', note(title)))
  t.match(await Promise.allSettled(calls), [
    { status: 'fulfilled' },
    { status: 'rejected', reason: { name: 'BelfryError', status: 422, code: 'BELFRY_ERR_IDEMPOTENCY_CONFLICT', temporary: false } },
    { status: 'fulfilled' }
  ])
  t.equal(service.requests.length, 1, 'a refusal is not retried')
})

t.test('an item that is refused for now is sent again after its wait, before later calls for its user', async (t) => {
  const { service, belfry } = await start(t)
  let refusals = 2
  service.script = ({ items }, response) => {
    const results = items.map((item) =>
      item.title === 'first' && refusals-- > 0 ? { problem: problem(429, 'BELFRY_ERR_PARKED_FULL', 60) } : service.carryOut(item)
    )
    reply(response, 202, { results })
  }
  const first = belfry.notify('alice', note('first'))
  await until(() => service.requests.length === 1, 'the first request')
  const second = belfry.notify('alice', note('second'))
  await belfry.notify('bob', note('other'))
  await Promise.all([first, second])
  t.same(service.published, ['other', 'first', 'second'])
  const [one, , again] = service.requests.filter(({ items }) => items.some(({ title }) => title === 'first'))
  t.ok((again?.at as number) - (one?.at as number) >= 120)
})

t.test('a body that the service or a proxy refuses is halved, so that one call does not fail others', async (t) => {
  const { service, belfry } = await start(t)
  service.script = ({ items, bytes }, response) => {
    if (bytes > 20_000) response.writeHead(413).end('<html>too large</html>')
    else if (items.some(({ title }) => title === 'poison')) reply(response, 400, problem(400, 'BELFRY_ERR_INVALID_REQUEST'))
  }
  const calls = Array.from({ length: 400 }, (_, n) => belfry.notify('alice', note(n === 217 ? 'poison' : `call ${n}`)))
  const settled = await Promise.allSettled(calls)
  t.same(
    settled.flatMap(({ status }, n) => (status === 'rejected' ? [n] : [])),
    [217]
  )
  t.match(settled[217], { reason: { status: 400, code: 'BELFRY_ERR_INVALID_REQUEST', problem: { detail: /./ } } })
  t.same(
    service.published,
    Array.from({ length: 400 }, (_, n) => `call ${n}`).filter((_, n) => n !== 217)
  )
  service.requests.length = 0
  await Promise.all(Array.from({ length: 400 }, (_, n) => belfry.notify('bob', note(`more ${n}`))))
  t.ok(
    service.requests.every(({ bytes }) => bytes <= 20_000),
    'the lower limit is remembered'
  )
  await t.rejects(belfry.notify('alice', { ...note('alone'), data: { text: 'x'.repeat(30_000) } }), {
    status: 413,
    code: 'BELFRY_SDK_HTTP'
  })
})
