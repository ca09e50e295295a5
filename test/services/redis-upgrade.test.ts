import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { rowId } from '../../services/store/row.ts'
import type { InboxPage, PublishOptions, PublishResult, Store, StoreSettings } from '../../services/store/store.ts'
import { idOf, tailOf } from '../conformance/stage.ts'
import { own } from '../fixtures/redis-ground.ts'

/** Options of a notification in the log, as a node of the version before stores them. */
interface OldOptions {
  id: string
  offset: number
  options: PublishOptions
  answer?: string
}

/** A user whose options a node of the version before stored. */
class Alice {
  readonly start = 1_800_000_000_000
  now = this.start
  store!: Store
  client!: Redis
  meta = ''
  options = ''
  expiries = ''
  log = ''

  static async on(t: Test, overrides: Partial<StoreSettings> = {}): Promise<Alice> {
    const alice = new Alice()
    const ground = await own(t)
    const { store } = await ground.node(ground.server.url, { ...overrides, clock: () => alice.now })
    alice.store = store
    alice.client = ground.server.client()
    const [meta = '', options = '', expiries = '', log = ''] = ground.keys.ofUser('alice', ['META', 'OPTIONS', 'EXPIRIES', 'LOG'])
    return Object.assign(alice, { meta, options, expiries, log })
  }

  send(number: number, options?: PublishOptions, keyed = false): Promise<PublishResult> {
    return this.store.publish({ user: 'alice', id: idOf(number), keyed, tail: tailOf(number), halfLife: 0, options })
  }

  answer(number: number, action: string) {
    return this.store.answer({ user: 'alice', id: idOf(number), action, deviceId: 'phone' })
  }

  async inbox(): Promise<InboxPage> {
    return (await this.store.inbox({ user: 'alice', states: undefined, before: undefined, limit: 100 })) as InboxPage
  }

  /** Numbers of the notifications in the inbox, newest first. */
  async numbers(): Promise<number[]> {
    return (await this.inbox()).items.map(({ row }) => Number(rowId(row).slice(1, 8)))
  }

  /** Stores options in the form of the version before. */
  async writeAsBefore(list: OldOptions[]): Promise<void> {
    const { client, expiries, meta, options } = this
    for (const { id, offset, options: own, answer } of list) {
      const { expiresAt = 0, actions = [], collapseKey = '' } = own
      await client.hset(options, `i${id}`, `${offset} ${expiresAt} ${actions.join(',') || '.'} ${collapseKey}`)
      if (collapseKey !== '') await client.hset(options, `l${collapseKey}`, id)
      if (answer !== undefined) await client.hset(options, `a${id}`, answer)
      else if (expiresAt > 0) await client.zadd(expiries, String(expiresAt), `l${id}`)
    }
    await client.hset(meta, 'j', '1')
  }

  /** Carries out a step as a node of the version before, which knows of no options: they stay as they are. */
  async withoutOptions(step: () => Promise<unknown>): Promise<void> {
    const { client, expiries, meta, options } = this
    const kept = await client.hgetall(options)
    const times = await client.zrangebyscore(expiries, '-inf', '+inf', 'WITHSCORES')
    await step()
    await client.del(options, expiries)
    await client.hset(options, kept)
    for (let i = 0; i < times.length; i += 2) await client.zadd(expiries, times[i + 1] as string, times[i] as string)
    await client.hset(meta, 'j', '0')
  }

  /** Returns how often Redis executed a command during a step. */
  async count(command: string, step: () => Promise<unknown>): Promise<number> {
    await this.client.config('RESETSTAT')
    await step()
    const stats = await this.client.info('commandstats')
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
  }
}

/**
 * Five notifications in the log: 1 expires, 2 has a collapse key, 3 was answered, 4 has all options, 5 has actions. 6 and 7 are parked, and 8 is
 * scheduled; the version before stored those as today.
 */
async function oldAlice(t: Test, overrides: Partial<StoreSettings> = {}): Promise<Alice> {
  const alice = await Alice.on(t, { rateLimit: 5, rateWindowMs: 1000, ...overrides })
  const { start } = alice
  for (let number = 1; number <= 5; number++) await alice.send(number)
  const parked = await alice.send(6, { collapseKey: 'parked', expiresAt: start + 60_000, level: 1 })
  t.equal(parked.status, 'parked')
  await alice.send(7, { expiresAt: start + 300 })
  await alice.send(8, { collapseKey: 'scheduled', actions: ['yes'], deliverAt: start + 30_000, expiresAt: start + 90_000 })
  const actions = ['yes', 'no']
  await alice.writeAsBefore([
    { id: idOf(1), offset: 1, options: { expiresAt: start + 500 } },
    { id: idOf(2), offset: 2, options: { collapseKey: 'k' } },
    { id: idOf(3), offset: 3, options: { actions, expiresAt: start + 500 }, answer: `${start} yes phone` },
    { id: idOf(4), offset: 4, options: { actions, collapseKey: 'all', expiresAt: start + 500 } },
    { id: idOf(5), offset: 5, options: { actions } }
  ])
  await alice.client.hset(alice.meta, 'd', String(start + 300))
  return alice
}

const FIRST_STEPS: Record<string, (alice: Alice) => Promise<unknown>> = {
  inbox: (alice) => alice.inbox(),
  answer: (alice) => alice.answer(5, 'yes'),
  attach: (alice) => {
    const connection = { connectionId: 'c', deviceId: 'phone', node: '', connectedAt: 1, address: '' }
    const command = {
      user: 'alice',
      deviceId: 'phone',
      start: { at: 'earliest' as const },
      issuedAt: alice.now,
      seen: undefined,
      limit: 100
    }
    return alice.store.attach({ ...command, connections: [connection] })
  },
  mark: (alice) => alice.store.mark({ user: 'alice', target: { ids: [idOf(2)] }, state: 'seen' }),
  publish: (alice) => alice.send(20),
  find: (alice) => alice.store.find('alice', idOf(3))
}

for (const [name, first] of Object.entries(FIRST_STEPS)) {
  t.test(`options of the version before are converted once, and keep what they do; the first step is ${name}`, async (t) => {
    const alice = await oldAlice(t)
    const { client, meta, options, start, store } = alice
    await first(alice)
    t.equal(await client.hget(meta, 'j'), '2')
    t.equal(await alice.count('hgetall', () => alice.inbox()), 0, 'no step converts again')
    t.same((await client.hkeys(options)).filter((field) => field.startsWith('l')).length, 0)
    const kept = { action: 'yes', answeredAt: start, deviceId: 'phone' }
    t.match((await alice.inbox()).items.find(({ row }) => rowId(row) === idOf(3))?.answer, kept)
    t.match(await alice.answer(3, 'no'), { status: 'already', answer: kept })
    t.match(await alice.answer(5, 'yes'), { status: 'answered' })
    t.match(await alice.answer(2, 'yes'), { status: 'notOffered' })

    t.match(await alice.send(9, { collapseKey: 'parked' }), { status: 'parked' })
    t.equal(await store.find('alice', idOf(6)), undefined, 'a parked one is replaced')
    t.match(await alice.send(10, { collapseKey: 'scheduled', deliverAt: start + 40_000 }), { status: 'scheduled' })
    t.equal(await store.find('alice', idOf(8)), undefined, 'a scheduled one is replaced')

    alice.now = start + 600
    t.match(await store.advance('alice'), { expired: 3 })
    t.equal(await store.find('alice', idOf(1)), undefined)
    t.equal(await store.find('alice', idOf(4)), undefined)
    t.equal(await store.find('alice', idOf(7)), undefined)
    t.match(await store.find('alice', idOf(3)), { in: 'log' }, 'an answered one does not expire')

    alice.now = start + 2000
    await store.advance('alice')
    t.match(await alice.send(11, { collapseKey: 'k' }), { status: 'accepted' })
    t.equal(await store.find('alice', idOf(2)), undefined, 'one in the log is replaced')
    t.equal(await store.retract('alice', idOf(3), ''), 'retracted')
    const all = await alice.numbers()
    t.same(
      all.filter((number) => number !== 20),
      [11, 9, 5]
    )
  })
}

t.test('a user without options has no field for them, and a step looks for none', async (t) => {
  const alice = await Alice.on(t)
  const { client, meta, store } = alice
  await alice.send(1)
  await store.advance('alice')
  t.equal(await client.hget(meta, 'j'), null)
  t.equal(await alice.count('hgetall', () => alice.inbox()), 0)
  await alice.send(2, { actions: ['yes'] })
  await store.retract('alice', idOf(2), '')
  await client.hset(meta, 'j', '0')
  t.equal(await alice.count('hgetall', () => alice.inbox()), 1, 'a node of the version before had none left')
  t.equal(await alice.count('hgetall', () => alice.inbox()), 0)
})

t.test('states that a node stored without their number are known when a notification is replaced', async (t) => {
  const alice = await Alice.on(t)
  const { client, meta, store } = alice
  await alice.send(1)
  await alice.send(2)
  await store.mark({ user: 'alice', target: { ids: [idOf(2)] }, state: 'read' })
  await client.hdel(meta, 's')
  await alice.writeAsBefore([{ id: idOf(2), offset: 2, options: { collapseKey: 'k' } }])
  await store.find('alice', idOf(1))
  t.match(await alice.send(3, { collapseKey: 'k' }), { status: 'accepted' })
  t.match(await alice.inbox(), { unread: 2, unseen: 2 })
})

t.test('options of a notification that a node of the version before removed are dropped', async (t) => {
  const alice = await Alice.on(t)
  const { client, expiries, options, start, store } = alice
  const full = { actions: ['yes'], expiresAt: start + 500 }
  await alice.send(1, { ...full, collapseKey: 'a' })
  await alice.send(2, { ...full, collapseKey: 'b' })
  await alice.answer(1, 'yes')
  await alice.withoutOptions(() => store.retract('alice', idOf(1), ''))
  t.same(await alice.numbers(), [2])
  t.same((await client.hkeys(options)).sort(), ['cb', `i${idOf(2)}`])
  t.same(await client.zrange(expiries, '0', '-1'), ['l000000000002b'])
  t.match(await alice.send(3, { collapseKey: 'a' }), { status: 'accepted' })
  t.same(await alice.numbers(), [3, 2], 'nothing is replaced')
})

t.test('options of rows that a node of the version before trimmed are dropped', async (t) => {
  const alice = await Alice.on(t, { maxEntries: 10 })
  const { client, options } = alice
  await alice.send(1, { collapseKey: 'a' })
  await alice.withoutOptions(async () => {
    for (let number = 2; number <= 12; number++) await alice.send(number)
  })
  const before = await alice.numbers()
  t.notOk(before.includes(1))
  t.same(await client.hkeys(options), [])
  await alice.send(13, { collapseKey: 'a' })
  t.same(await alice.numbers(), [13, ...before])
})

t.test('an expiry that a node of the version before dropped is stored again, if the options have it', async (t) => {
  const alice = await Alice.on(t)
  const { client, expiries, meta, start, store } = alice
  await alice.send(1, { expiresAt: start + 500, collapseKey: 'a' })
  await alice.send(2, { expiresAt: start + 500, actions: ['yes'] })
  await client.del(expiries)
  await client.hset(meta, 'j', '0', 'd', '0')
  t.match(await store.advance('alice'), { nextAt: start + 500 })
  alice.now = start + 600
  t.match(await store.advance('alice'), { expired: 2 })
})

t.test('a notification that a node of the version before did not replace stays; its collapse key is that of the later one', async (t) => {
  const alice = await Alice.on(t)
  const { start, store } = alice
  await alice.send(1, { collapseKey: 'k', expiresAt: start + 500 })
  await alice.send(2)
  await alice.writeAsBefore([{ id: idOf(2), offset: 2, options: { collapseKey: 'k' } }])
  t.same(await alice.numbers(), [2, 1])
  alice.now = start + 600
  t.match(await store.advance('alice'), { expired: 1 })
  t.same(await alice.numbers(), [2])
  await alice.send(3, { collapseKey: 'k' })
  t.same(await alice.numbers(), [3])
})

t.test(
  'a collapse key whose value names no row of the log is that of no notification: the publish appends, and the log stays whole',
  async (t) => {
    const alice = await Alice.on(t)
    const { client, log, options } = alice
    await alice.send(1, { collapseKey: 'k' })
    await alice.send(2)
    const sound = (await client.hget(options, 'ck')) as string
    const values = ['', idOf(1), sound.slice(0, 41), `${sound.slice(0, 41)}0 0 .`, `${sound.slice(0, 41)}99 0 .`, `${sound} more`]
    let number = 2
    for (const value of values) {
      for (const isKeyed of [false, true]) {
        number += 1
        await client.hset(options, 'ck', value)
        t.match(await alice.send(number, { collapseKey: 'k' }, isKeyed), { status: 'accepted', offset: number }, `"${value}"`)
        t.equal(await client.llen(log), number)
      }
    }
    const page = await alice.numbers()
    t.same(
      page,
      Array.from({ length: number }, (_, index) => number - index)
    )
  }
)
