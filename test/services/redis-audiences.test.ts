import fc from 'fast-check'
import t from 'tap'
import type { Availability } from '../../services/store/redis/availability.ts'
import { createClient } from '../../services/store/redis/clients.ts'
import { Keys, SLOT_OF_BUCKET } from '../../services/store/redis/keys.ts'
import { RedisAudiences } from '../../services/store/redis/redis-audiences.ts'
import { RedisMembers, type RunTopic } from '../../services/store/redis/redis-members.ts'
import type { Reply } from '../../services/store/redis/reply.ts'
import { type Args, type ScriptName, scripts } from '../../services/store/redis/script-table.ts'
import { scriptTexts } from '../../services/store/redis/script-texts.ts'
import { Scripts } from '../../services/store/redis/scripts.ts'
import { UserScan } from '../../services/store/redis/user-scan.ts'
import { idOf, tailOf } from '../conformance/stage.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { own, settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

function publishOf(id: string) {
  return { id, keyed: false, tail: tailOf(1), halfLife: 0 }
}

t.test('a member costs at most 100 bytes, in both directions together', async (t) => {
  const { server, node } = await own(t)
  const { store } = await node()
  const admin = server.admin()
  const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1])
  const [count, perCall] = [100_000, 10_000]
  await store.audiences.changeMembers({ topic: 'project-41', add: ['user-first'], remove: [] })
  const before = await used()
  for (let from = 0; from < count; from += perCall) {
    const add = Array.from({ length: perCall }, (_, index) => `user${String(from + index).padStart(6, '0')}`)
    t.same(await store.audiences.changeMembers({ topic: 'project-42', add, remove: [] }), { added: perCall, removed: 0 })
  }
  const bytes = ((await used()) - before) / count
  t.ok(bytes <= 100, `${bytes.toFixed(1)} bytes`)
})

t.test('pages of one long name have short cursors and every name; a cursor that is none is refused', async (t) => {
  const { node } = await own(t)
  const { store } = await node()
  const names = Array.from({ length: 2000 }, (_, index) => String(index).padStart(128, 'x')).sort()
  await store.audiences.changeMembers({ topic: 'long', add: names, remove: [] })
  for (const limit of [1, 2, 3]) {
    const listed: string[] = []
    let [longest, most] = [0, 0]
    let after: string | undefined
    do {
      const { items, next } = await store.audiences.members('long', after, limit)
      listed.push(...items)
      most = Math.max(most, items.length)
      longest = Math.max(longest, next?.length ?? 0)
      after = next
    } while (after !== undefined)
    t.same([...new Set(listed)].sort(), names)
    t.equal(most, limit)
    t.ok(longest < 256, `${longest} characters`)
  }
  const first = await store.audiences.members('long', undefined, 1)
  await store.audiences.changeMembers({ topic: 'long', add: [], remove: names.slice(5) })
  const rest = await store.audiences.members('long', first.next, 5000)
  t.strictSame(
    names.slice(0, 5).filter((name) => ![...first.items, ...rest.items].includes(name)),
    [],
    'the set became small between two pages'
  )
  for (const cursor of ['', 'garbage', 'c-1.', 'c1', 'c1[]', 'c18446744073709551616.', 'c1.abc']) {
    await t.rejects(store.audiences.members('long', cursor, 1), { code: 'INVALID_REQUEST' }, cursor)
  }
})

t.test('a search for everyone whose step fails begins again, so that nobody is left out', async (t) => {
  const id = '00broadcastToEveryone1'
  const to = JSON.stringify({ everyone: true, except: ['carol'] })
  const found = new Set<string>()
  let searches = 0
  let failing = true
  const replies: Record<string, (args: Record<string, unknown>) => Reply> = {
    'broadcast-find': () => [id, to, 'running', '', '0', '0', '0', '1', '0'].map((part) => Buffer.from(part)),
    'broadcast-lease': () => ['collecting', id, to, '0'].map((part) => Buffer.from(part)),
    'broadcast-collect': ({ names }) => {
      if (failing) throw new Error('the connection was lost')
      for (const name of names as string[]) found.add(name)
      return 1
    }
  }
  const audiences = new RedisAudiences(new Keys('belfry'), 'node', {
    run: (async (_bucket: number, name: string, _topic: string, args: Record<string, unknown>) => replies[name]?.(args)) as RunTopic,
    share: async () => [],
    due: async () => [],
    scanUsers: () => {
      searches += 1
      const pages = [['alice', 'carol'], ['bob']]
      const scan = {
        isDone: false,
        async next(): Promise<string[]> {
          const page = pages.shift()
          scan.isDone = page === undefined
          return page ?? []
        }
      }
      return scan as unknown as UserScan
    },
    call: (make) => make()
  })
  await t.rejects(audiences.lease(id), { message: 'the connection was lost' })
  failing = false
  for (let step = 0; step < 3; step++) t.same(await audiences.lease(id), { status: 'collecting' })
  t.equal(searches, 2)
  t.same([...found], ['alice', 'bob'])
})

t.test('a user who is erased while everyone is searched for is not in the audience, and nobody else is left out', async (t) => {
  const { server, node } = await own(t)
  const [{ store }, { store: other }] = [await node(), await node()]
  const users = Array.from({ length: 40 }, (_, index) => `user-${index}`)
  await Promise.all(users.map((user) => store.publish({ ...publishOf(idOf(1)), user })))
  const started = await store.audiences.start({ to: { everyone: true, except: [] }, ...publishOf(idOf(2)) })
  if (started.status !== 'started') throw new Error(started.status)
  const { next } = UserScan.prototype
  t.teardown(() => {
    UserScan.prototype.next = next
  })
  let calls = 0
  UserScan.prototype.next = async function () {
    const found = await next.call(this)
    calls += 1
    if (calls === 1) await other.erase('user-3')
    return found
  }
  let result = await store.audiences.lease(started.broadcast.id)
  while (result.status === 'collecting') result = await store.audiences.lease(started.broadcast.id)
  if (result.status !== 'batch') throw new Error(result.status)
  t.same(result.batch.users.sort(), users.filter((user) => user !== 'user-3').sort())
  t.equal(result.batch.size, 39)
  const admin = server.admin()
  const [sent = ''] = await admin.keys('*:bs:*')
  t.notOk((await admin.lrange(sent, 0, -1)).includes('user-3'))
})

t.test('the index of broadcasts forgets those that have expired', async (t) => {
  const { server, node } = await own(t)
  const { store } = await node()
  const admin = server.admin()
  for (let number = 0; number < 12; number++) {
    await store.audiences.start({ to: { topic: 'nobody', except: [] }, ...publishOf(idOf(number)) })
    for (const key of await admin.keys('*:bc:*')) await admin.del(key)
  }
  const [index = ''] = await admin.keys('*:bi')
  t.ok((await admin.zcard(index)) <= 3)
})

t.test('a node that closes while it collects everyone releases the collection to another node', async (t) => {
  const { node } = await own(t)
  const [{ store }, { store: other }] = [await node(), await node()]
  const started = await store.audiences.start({ to: { everyone: true, except: [] }, ...publishOf(idOf(1)) })
  if (started.status !== 'started') throw new Error(started.status)
  const { id } = started.broadcast
  const { next } = UserScan.prototype
  t.teardown(() => {
    UserScan.prototype.next = next
  })
  UserScan.prototype.next = async () => []
  t.same(await store.audiences.lease(id), { status: 'collecting' })
  t.same(await other.audiences.lease(id), { status: 'leased' })
  await store.close()
  t.same(await other.audiences.lease(id), { status: 'collecting' })
})

t.test('a search for everyone begins again after a restart of Redis, where its cursor means nothing', async (t) => {
  const { server, keys } = await own(t, { appendonly: 'yes' })
  // One call of the search reads 10,000 keys.
  const users = Array.from({ length: 11_000 }, (_, index) => `user-${index}`)
  const pipeline = server.admin().pipeline()
  for (const user of users) pipeline.hset(keys.ofUser(user, ['META'])[0] as string, 'e', 'epoch')
  await pipeline.exec()
  const commands = createClient({ url: server.url, keyPrefix: 'belfry', waitReplicas: 0 }, true)
  t.teardown(() => commands.disconnect())
  await commands.connect()
  const track = <Result>(call: () => Promise<Result>): Promise<Result> => call()
  const master = { address: '', buckets: [...SLOT_OF_BUCKET.keys()], commands, track }
  const scan = new UserScan({ available: [master] } as unknown as Availability, keys)
  const found = new Set(await scan.next())
  t.notOk(scan.isDone)
  await server.kill()
  await until(() => commands.status !== 'ready', 'the client notices', 2000)
  await server.run()
  await until(() => commands.status === 'ready', 'the client is back', 5000)
  while (!scan.isDone) for (const user of await scan.next()) found.add(user)
  t.same(
    users.filter((user) => !found.has(user)),
    []
  )
})

t.test('an erasure removes the name from additions that a node began and did not finish, however many calls it made', async (t) => {
  const { server, keys, node } = await own(t)
  const { store } = await node()
  const admin = server.admin()
  const calls = new Scripts(admin, scriptTexts(settings, 'in-step'), false, undefined)
  const user = 'name-of-a-canary'
  for (const callsMax of [1, 2, 3]) {
    let made = 0
    const run: RunTopic = (bucket, name, topic, args) => {
      made += 1
      if (made > callsMax) return Promise.reject(new Error('the node died'))
      const full = { clock: '', topic, ...args } as unknown as Args<ScriptName>
      return calls.run(name as ScriptName, keys.ofBucket(bucket, scripts[name].keys), full)
    }
    const change = { topic: `team-${callsMax}`, add: ['another', user], remove: [] }
    await new RedisMembers(run).change(change).catch(() => undefined)
  }
  await store.erase(user)
  for (const key of await admin.keys('*')) {
    const type = await admin.type(key)
    const names = type === 'hash' ? await admin.hkeys(key) : type === 'set' ? await admin.smembers(key) : []
    t.notOk(
      names.some((name) => name.includes(user)),
      `${key}: ${names.join()}`
    )
  }
  t.same(await store.audiences.topicsOf(user), [])
  t.same(await store.audiences.changeMembers({ topic: 'team-1', add: ['another', user], remove: [] }), { added: 2, removed: 0 })
  t.same((await store.audiences.members('team-1', undefined, 10)).items.sort(), ['another', user])
  t.same(await admin.keys('*:tj:team-1'), [])
})

/** A change of members by one node, which ends after a number of calls of Redis. */
interface Change {
  add: string[]
  remove: string[]
  callsMax: number
}

/** Carries out calls one at a time, in an order that choices determine. */
class Schedule {
  readonly #waiting: (() => Promise<void>)[] = []
  readonly #choices: number[]

  constructor(choices: number[]) {
    this.#choices = choices
  }

  /** Returns a `run` for one node: each call waits for its turn; after `callsMax` calls the node is dead, and its calls never return. */
  node(run: RunTopic, callsMax: number): RunTopic {
    let calls = 0
    return (...call) =>
      new Promise((resolve, reject) => {
        calls += 1
        if (calls > callsMax) return
        this.#waiting.push(() => run(...call).then(resolve, reject))
      })
  }

  /** Carries out calls until none waits. `afterEach` is called after each call. */
  async play(afterEach: () => Promise<void>): Promise<void> {
    for (let turn = 0; ; turn++) {
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
      if (this.#waiting.length === 0) return
      const index = (this.#choices[turn % this.#choices.length] ?? 0) % this.#waiting.length
      await this.#waiting.splice(index, 1)[0]?.()
      await afterEach()
    }
  }
}

t.test('the topics of a user are exact, whatever changes run side by side or fail in between', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  const client = server.client()
  const calls = new Scripts(client, scriptTexts(settings, 'in-step'), false, undefined)
  let databases = 0
  const subset = fc.subarray(['ann', 'bob', 'cay'])
  const change: fc.Arbitrary<Change> = fc.record({
    add: subset,
    remove: fc.constant([]),
    callsMax: fc.constantFrom(100, 100, 100, 1, 2, 3, 4)
  })
  const changes = fc.array(
    fc.oneof(
      change,
      change.map(({ add, callsMax }) => ({ add: [], remove: add, callsMax }))
    ),
    { minLength: 2, maxLength: 5 }
  )
  const property = fc.asyncProperty(changes, fc.array(fc.nat(20), { minLength: 5, maxLength: 40 }), async (changes, choices) => {
    databases += 1
    const keys = new Keys(`members${databases}`)
    const run: RunTopic = (bucket, name, topic, args) => {
      const full = { clock: '', topic, ...args } as unknown as Args<ScriptName>
      return calls.run(name as ScriptName, keys.ofBucket(bucket, scripts[name].keys), full)
    }
    const members = new RedisMembers(run)
    const names = ['ann', 'bob', 'cay']
    const isSame = async (): Promise<void> => {
      const { items } = await members.page('t', undefined, 10)
      for (const name of names) {
        const isMember = items.includes(name)
        const topics = await members.topicsOf(name)
        if (topics.includes('t') !== isMember) throw new Error(`${name}: member ${isMember}, topics [${topics.join()}]`)
      }
    }
    const schedule = new Schedule(choices)
    const total = { added: 0, removed: 0 }
    for (const { add, remove, callsMax } of changes) {
      const node = new RedisMembers(schedule.node(run, callsMax))
      void node.change({ topic: 't', add, remove }).then(({ added, removed }) => {
        total.added += added
        total.removed += removed
      })
    }
    await schedule.play(isSame)
    const { items } = await members.page('t', undefined, 10)
    const isCounted = changes.every(({ callsMax }) => callsMax === 100)
    if (isCounted && total.added - total.removed !== items.length) throw new Error(`${total.added} - ${total.removed}: ${items.length}`)
    await members.change({ topic: 't', add: names, remove: [] })
    await isSame()
    const { removed } = await members.change({ topic: 't', add: [], remove: names })
    if (removed !== 3) throw new Error('a repetition does not complete an addition')
    await isSame()
    const left = (await client.keys(`members${databases}:*:tu:*`)).length
    if (left > 0) throw new Error(`${left} hashes with fields that mean nothing`)
  })
  const details = await fc.check(property, { numRuns: 150, interruptAfterTimeLimit: 20_000 })
  if (details.failed) t.comment(fc.defaultReportMessage(details), String(details.errorInstance))
  t.notOk(details.failed, `seed ${details.seed}`)
})
