import { readdirSync, readFileSync } from 'node:fs'
import slotOf from 'cluster-key-slot'
import t from 'tap'
import { newId } from '../../services/ids.ts'
import { META_TTL_MS } from '../../services/store/limits.ts'
import { BUCKETS, bucketOf, Keys } from '../../services/store/redis/keys.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { type ScriptName, scriptOf, scripts } from '../../services/store/redis/script-table.ts'
import { luaName, scriptTexts, source } from '../../services/store/redis/script-texts.ts'
import { changesBound } from '../../services/store/retention.ts'
import { rowId } from '../../services/store/row.ts'
import type { PublishOptions, Wake } from '../../services/store/store.ts'
import { marked } from '../conformance/stage.ts'
import { Follower } from '../fixtures/follower.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { command, own, settings } from '../fixtures/redis-ground.ts'
import { scriptCommands } from '../fixtures/script-commands.ts'
import { until } from '../fixtures/wait.ts'

const files = readdirSync(new URL('../../services/store/redis/lua/', import.meta.url)).map((file) => file.replace(/\.lua$/, ''))

const isPrelude = (name: string): boolean => name.startsWith('prelude')

/** The comments at the head of a Lua file, and the code below them. */
function split(name: string): { head: string; code: string } {
  const lines = source(name).split('\n')
  const end = lines.findIndex((line) => !/^(--|#!)/.test(line))
  return { head: lines.slice(0, end).join('\n'), code: lines.slice(end).join('\n').replaceAll(/--.*/g, '') }
}

/** Names that the head of a Lua file explains: `-- @arg id, offset  what they are`. */
function explained(head: string, what: 'key' | 'arg'): string[] {
  const lists = [...head.matchAll(new RegExp(`^-- @${what} (\\w+(?:, \\w+)*)`, 'gm'))].map(([, names = '']) => names.split(', '))
  return lists.flat()
}

t.test('each script explains its keys and arguments, and reads each of them by its name', async (t) => {
  t.same(files.filter((file) => !isPrelude(file)).sort(), Object.keys(scripts).sort())
  const heads = ['prelude-load', 'prelude-options'].map((name) => split(name).head).join('\n')
  const logKeys = explained(heads, 'key')
  for (const name of Object.keys(scripts) as ScriptName[]) {
    const { head, code } = split(name)
    const { keys, args, rest, log, of, each } = scriptOf(name)
    const isGuarded = log === true || of !== undefined
    t.same(
      keys.indexOf('GUARD'),
      isGuarded ? keys.length - 1 : -1,
      `${name}: a script of several keys names GUARD, last, and does not read it`
    )
    const own = { keys: keys.filter((key) => key !== 'GUARD'), args: [...args, ...(rest === undefined ? [] : [rest])].map(luaName) }
    if (log) {
      t.same(own.keys.splice(0, logKeys.length).sort(), [...logKeys].sort(), `${name}: the keys of a log`)
      t.same(own.args.splice(0, 3), explained(heads, 'arg'), `${name}: the arguments of a log`)
    }
    if (of !== undefined) {
      const shared = split('prelude-topic').head
      t.same(own.keys.splice(0, 1), explained(shared, 'key'), `${name}: the key of a topic`)
      t.same(own.args.splice(0, 2), explained(shared, 'arg'), `${name}: the arguments of a topic`)
    }
    t.same(explained(head, 'key'), own.keys, `${name}: keys`)
    t.same(explained(head, 'arg'), own.args, `${name}: arguments`)
    t.match(head, /^-- Returns .+/m, `${name} says what it returns`)
    t.notMatch(code, /\b(KEYS|ARGV)\b/, `${name} takes nothing by its number`)
    // What a batch script does not use of an item, it passes on to the script for one item.
    if (each === undefined) for (const arg of own.args) t.match(code, new RegExp(`\\b${arg}\\b`), `${name} uses ${arg}`)
  }
})

t.test('each script leaves room below Lua’s limit of 200 locals', async (t) => {
  const sendings = ['in-step', 'by-node'] as const
  for (const [name, lua] of sendings.flatMap((sending) => [...scriptTexts(settings, sending)])) {
    const step = lua.slice(lua.indexOf('local function step(KEYS, ARGV)\n') + 1)
    // The script for one item is a function of a batch script, and has a limit of its own.
    const [head = '', rest = ''] = step.split('local function each(KEYS, ARGV)\n')
    const eachEnd = rest.lastIndexOf('-- Reads the clock')
    for (const scope of rest === '' ? [head] : [rest.slice(0, eachEnd), head + rest.slice(eachEnd)]) {
      const locals = [...scope.matchAll(/^local (?:function )?([\w, ]+?)(?: =|\(|$)/gm)].flatMap(([, names = '']) => names.split(', '))
      t.ok(locals.length <= 185, `${name} has ${locals.length}`)
    }
  }
})

t.test('commands outside scripts are sent by Availability, Housekeeping and Registrations alone', async (t) => {
  const folder = new URL('../../../services/store/redis/', import.meta.url)
  const isSent = /\b(?:commands|server)\.(?!asking|on|options|status|connect|disconnect)\w+\(/
  const senders = readdirSync(folder).filter((file) => file.endsWith('.ts') && isSent.test(readFileSync(new URL(file, folder), 'utf8')))
  t.same(senders.sort(), ['nodes.ts', 'registrations.ts', 'registry-scan.ts', 'server-facts.ts', 'settings-check.ts', 'user-scan.ts'])
})

t.test('buckets are even, and lie in even shares of the Cluster', async (t) => {
  t.equal(slotOf('123456789'), 0x31c3 % 16_384)
  const keys = new Keys('belfry')
  keys.counters.forEach((key, bucket) => {
    const slot = slotOf(/\{(.*?)\}/.exec(key)?.[1] ?? '')
    if (Math.floor(slot / 64) !== bucket) t.fail(`bucket ${bucket} is in slot ${slot}`)
  })
  t.equal(new Set(keys.counters).size, BUCKETS)
  const counts = new Array<number>(BUCKETS).fill(0)
  for (let i = 0; i < 100_000; i++) counts[bucketOf(`user-${i}`)] = (counts[bucketOf(`user-${i}`)] as number) + 1
  const mean = 100_000 / BUCKETS
  t.ok(Math.max(...counts) < 1.4 * mean, `the fullest has ${Math.max(...counts)} of ${mean}`)
  t.ok(Math.min(...counts) > 0.6 * mean, `the emptiest has ${Math.min(...counts)}`)
})

t.test('the memory of a user without a connection', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  const admin = server.client()
  const settings = {
    rateLimit: 0,
    rateWindowMs: 1000,
    parkedMax: 1000,
    scheduledMax: 1000,
    retentionMs: 7 * 24 * 3_600_000,
    maxEntries: 1000,
    maxConnections: 0,
    revocationTtlMs: 86_400_000
  }
  const store = new RedisStore(settings, { url: server.url, keyPrefix: 'belfry', waitReplicas: 0 })
  t.teardown(() => store.close())
  await new Follower('one', store).open()
  const tail = `"type":"sync.done","title":"${'x'.repeat(200 - 29)}"}`
  t.equal(tail.length, 201)
  const used = async () => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1])
  const fill = async (from: number, to: number, count: number, keyed: boolean) => {
    const together = count === 1 ? 200 : 4
    for (let user = from; user < to; user += together) {
      const batch = Array.from({ length: together * count }, (_, i) =>
        store.publish({ user: `user-${user + (i % together)}`, id: newId(), keyed, tail, halfLife: 0 })
      )
      await Promise.all(batch)
    }
  }
  const costs = async (users: number, count: number, keyed: boolean): Promise<number> => {
    await admin.flushall()
    await fill(0, users / 5, count, keyed)
    const before = await used()
    await fill(users / 5, users / 5 + users, count, keyed)
    return ((await used()) - before) / users
  }
  const one = await costs(10_000, 1, false)
  t.ok(one <= 1000, `one notification of 200 bytes: ${one.toFixed()} bytes`)
  const fifty = await costs(300, 50, false)
  t.ok(fifty <= 14_000, `fifty: ${fifty.toFixed()} bytes`)
  const keyed = await costs(3000, 1, true)
  t.ok(keyed <= 1200, `one with a key: ${keyed.toFixed()} bytes`)
  const expiry = await admin.ttl(`${/^(.*):w$/.exec(new Keys('belfry').counters[bucketOf('user-1')] as string)?.[1]}:m:user-1`)
  t.ok(expiry > 29 * 24 * 3600, 'and it expires')
})

t.test('a mark of more rows than a Lua stack holds returns all of their ids', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  const count = 9000
  const settings = {
    rateLimit: 0,
    rateWindowMs: 1000,
    parkedMax: 10,
    scheduledMax: 1000,
    retentionMs: 60_000,
    maxEntries: 10_000,
    maxConnections: 0,
    revocationTtlMs: 86_400_000
  }
  const store = new RedisStore(settings, { url: server.url, keyPrefix: 'long', waitReplicas: 0 })
  t.teardown(() => store.close())
  await new Follower('one', store).open()
  for (let sent = 0; sent < count; sent += 1000) {
    const command = { user: 'alice', keyed: false, tail: '"type":"a","title":"b","timestamp":1}', halfLife: 0 }
    await Promise.all(Array.from({ length: 1000 }, () => store.publish({ ...command, id: newId() })))
  }
  const { head } = await store.queue('alice')
  const { ids, unread } = await marked(store, { user: 'alice', target: { upTo: head }, state: 'read' })
  t.equal(new Set(ids).size, count)
  t.equal(unread, 0)
})

t.test('meta expires no sooner than the revocation in it; other keys expire as usual', async (t) => {
  const { server, keys, node } = await own(t)
  const revocationTtlMs = 90 * 86_400_000
  const { store } = await node(server.url, { revocationTtlMs })
  await store.publish(command('alice'))
  const revoke = { connectionId: undefined, reason: '', revoke: true }
  for (const user of ['alice', 'never seen']) await store.disconnect({ ...revoke, user })
  await store.publish(command('alice'))
  const ttl = (key: string | undefined): Promise<number> => server.admin().pttl(key ?? '')
  for (const user of ['alice', 'never seen']) t.ok((await ttl(keys.ofUser(user, ['META'])[0])) > revocationTtlMs - 60_000, user)
  const log = await ttl(keys.ofUser('alice', ['LOG'])[0])
  t.ok(log > META_TTL_MS - 60_000 && log <= META_TTL_MS)
})

t.test('every key of a user with options expires, and none before what is scheduled or expires', async (t) => {
  const { server, node } = await own(t)
  const { store } = await node()
  const admin = server.admin()
  const aheadMs = 30 * 86_400_000
  const publish = (options: PublishOptions) => store.publish({ ...command('alice'), options })
  const ttls = async (): Promise<number[]> => {
    const found = await admin.keys('*:alice')
    return Promise.all(found.map((key) => admin.pttl(key)))
  }
  const far = (): number => Date.now() + aheadMs
  await store.publish(command('alice'))
  await publish({ collapseKey: 'only a key' })
  for (const ttl of await ttls()) t.ok(ttl > META_TTL_MS - 60_000)
  await publish({ expiresAt: far() })
  await publish({ deliverAt: far(), collapseKey: 'scheduled' })
  for (const ttl of await ttls()) t.ok(ttl > aheadMs + META_TTL_MS - 60_000)
})

t.test('a publish with a key is a usual one with two commands more, and a repeat is carried out in full', async (t) => {
  const { server, keys, node } = await own(t)
  const { store } = await node(server.url, { rateLimit: 0 })
  const commandsIn = await scriptCommands(t, server, 'alice')
  await store.publish(command('alice', false))
  const keyed = command('alice')
  t.equal(await commandsIn(async () => t.match(await store.publish(keyed), { replayed: false })), 'hkeys hmget hset pexpire rpush zadd')
  t.ok((await server.admin().pttl(String(keys.ofUser('alice', ['KEYED'])[0]))) > META_TTL_MS - 60_000)
  t.match(await commandsIn(async () => t.match(await store.publish(keyed), { replayed: true, offset: 2 })), /zadd zscore/)
  await server.admin().rpop(String(keys.ofUser('alice', ['LOG'])[0]))
  const later = command('alice')
  t.match(await store.publish(later), { status: 'accepted', offset: 1, replayed: false }, 'a log that lost a row starts afresh')
  t.match(await store.publish(later), { offset: 1, replayed: true })
})

t.test('a first publish takes few commands, and leaves the same keys as one that is carried out in full', async (t) => {
  const { server, keys, node } = await own(t)
  const clock = (): number => 1_800_000_000_000
  const { store } = await node(server.url, { clock })
  const admin = server.admin()
  const commandsIn = await scriptCommands(t, server, 'alice')
  const leftovers = keys.ofUser('alice', ['PARKED', 'OPTIONS', 'CALLS', 'STATES'])
  for (const key of leftovers) await admin.set(key, 'of a log whose meta was lost')
  const first = command('alice')
  const commands = await commandsIn(async () => t.match(await store.publish(first), { status: 'accepted', offset: 1, replayed: false }))
  t.equal(commands, 'del exists hkeys hmget hset pexpire pexpire pexpire pexpire rpush zadd')
  t.equal(await admin.exists(...leftovers), 0)
  const inFull = await store.publish({ ...first, user: 'bob', options: { level: 1 } })
  t.match(inFull, { status: 'accepted', offset: 1 })
  const contents = async (user: string): Promise<unknown> => {
    const [meta = '', log = '', keyed = ''] = keys.ofUser(user, ['META', 'LOG', 'KEYED'])
    const { e: _epoch, g: _tag, ...fields } = await admin.hgetall(meta)
    const ttls = await Promise.all([meta, log, keyed].map((key) => admin.pttl(key)))
    const rows = (await admin.lrange(log, 0, -1)).map((row) => row.slice(0, 34))
    return {
      fields,
      rows,
      keyed: await admin.zrange(keyed, '0', '-1', 'WITHSCORES'),
      areTtlsWhole: ttls.every((ttl) => ttl > META_TTL_MS - 60_000)
    }
  }
  t.same(await contents('alice'), await contents('bob'))
  const ofBroadcast = { ...first, user: 'carol', broadcastAt: clock() }
  t.match(await store.publish(ofBroadcast), { offset: 1, replayed: false })
  t.match(await store.publish(ofBroadcast), { offset: 1, replayed: true }, 'a batch that is repeated finds its first publishes written')
  t.same(await contents('carol'), await contents('alice'))
})

t.test('a publish with options is a usual one with few commands more', async (t) => {
  const { server, node } = await own(t)
  const { store } = await node(server.url, { rateLimit: 0 })
  const commandsIn = await scriptCommands(t, server, 'alice')
  const commandsOf = (options?: PublishOptions): Promise<string> =>
    commandsIn(async () => t.match(await store.publish({ ...command('alice', false), options }), { status: 'accepted' }))
  const usual = 'hkeys hmget hset rpush'
  const later = (): number => Date.now() + 60_000
  await commandsOf()
  t.equal(await commandsOf(), usual)
  t.equal(await commandsOf({ level: 1 }), usual)
  await commandsOf({ expiresAt: later(), collapseKey: 'first' })
  t.equal(await commandsOf({ expiresAt: later() + 1000 }), 'exists hkeys hmget hset rpush zadd')
  t.equal(await commandsOf({ actions: ['ok'] }), 'exists hkeys hmget hset hset rpush')
  t.equal(await commandsOf({ collapseKey: 'a' }), 'exists hget hkeys hmget hset hset rpush')
  t.equal(await commandsOf({ collapseKey: 'a' }), 'hget hkeys hmget hset hset lset rpush')
  await store.mark({ user: 'alice', target: { upTo: (await store.queue('alice')).head }, state: 'archived' })
  await commandsOf({ collapseKey: 'a' })
  t.equal(await commandsOf({ collapseKey: 'a' }), 'hget hget hkeys hmget hset hset lset rpush', 'there are states')
})

t.test('replacements count as changes, whose bound trims the log', async (t) => {
  const { node } = await own(t)
  const { store } = await node(undefined, { rateLimit: 0, maxEntries: 10 })
  const bound = changesBound(10)
  const replace = () => store.publish({ ...command('alice'), options: { collapseKey: 'k' } })
  for (let count = 0; count < 1.1 * bound; count += 500) await Promise.all(Array.from({ length: 500 }, replace))
  const sizes: number[] = []
  for (let count = 0; count < 3; count++) {
    await replace()
    const { first, head } = await store.queue('alice')
    sizes.push(head.offset - first.offset + 1)
  }
  t.same(sizes, [1.1 * bound + 1, 1.1 * bound + 2, bound + 2])
})

t.test('a user whose parked and scheduled notifications were lost can publish with their collapse keys', async (t) => {
  const { server, keys, node } = await own(t)
  const { store } = await node(server.url, { rateLimit: 1 })
  const publish = (options?: PublishOptions) => store.publish({ ...command('alice'), options })
  const deliverAt = Date.now() + 60_000
  await publish()
  t.match(await publish({ collapseKey: 'k' }), { status: 'parked' })
  t.match(await publish({ collapseKey: 'k', deliverAt }), { status: 'scheduled' })
  await server.admin().del(...keys.ofUser('alice', ['PARKED', 'SCHEDULED']))
  t.match(await publish({ collapseKey: 'k' }), { status: 'parked' })
  t.match(await publish({ collapseKey: 'k', deliverAt }), { status: 'scheduled' })
})

t.test('the wake-ups of one call leave together for each node, in order with the wake-ups that leave alone', async (t) => {
  const { server, node } = await own(t)
  const [one, two] = [await node(), await node()]
  const users = ['alice', 'bob', 'carol', 'dave', 'erin']
  for (const user of users) {
    await one.store.publish(command(user))
    await one.follow(user)
  }
  for (const user of ['alice', 'bob']) await two.follow(user)
  const woken = new Map([one, two].map((follower) => [follower, listenTo(follower)]))
  const admin = server.client()
  await admin.config('RESETSTAT')
  const sent = [
    command('alice', false),
    command('bob', false),
    { ...command('alice', false), options: { push: false as const } },
    ...['carol', 'dave', 'erin', 'alice', 'bob'].map((user) => command(user, false))
  ]
  const results = await Promise.all(sent.map((item) => one.store.publish(item)))
  await until(() => woken.get(one)?.length === 8 && woken.get(two)?.length === 5, 'both nodes are woken')
  t.same(
    woken.get(one)?.map(({ user, offset, row }) => [user, offset, row === undefined ? '' : rowId(row)]),
    sent.map(({ user, id }, index) => [user, (results[index] as { offset: number }).offset, id])
  )
  t.same(
    woken.get(two)?.map(({ row }) => row && rowId(row)),
    sent.filter(({ user }) => ['alice', 'bob'].includes(user)).map(({ id }) => id)
  )
  t.match(
    await admin.info('commandstats'),
    /cmdstat_spublish:calls=6,/,
    'before the one without a push, that one, after it; each to two nodes'
  )
  t.equal(one.lost + two.lost, 0)
})

function listenTo(follower: Follower): Wake[] {
  const wakes: Wake[] = []
  const wake = follower.wake.bind(follower)
  follower.wake = (woken) => {
    wakes.push(woken)
    wake(woken)
  }
  return wakes
}
