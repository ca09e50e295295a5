import t from 'tap'
import { errors } from '../../services/errors.ts'
import type { Availability } from '../../services/store/redis/availability.ts'
import { createClient } from '../../services/store/redis/clients.ts'
import { ALL_BUCKETS, bucketOf, Keys } from '../../services/store/redis/keys.ts'
import { Registrations } from '../../services/store/redis/registrations.ts'
import { scriptTexts } from '../../services/store/redis/script-texts.ts'
import { Scripts } from '../../services/store/redis/scripts.ts'
import { Unsent } from '../../services/store/redis/unsent.ts'
import type { AttachResult, ConnectionInfo } from '../../services/store/store.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { settings } from '../fixtures/redis-ground.ts'

const NODE = 'one'
const attached = { status: 'attached' } as AttachResult

function connection(connectionId: string): ConnectionInfo {
  return { connectionId, deviceId: 'phone', node: NODE, connectedAt: 0, address: '' }
}

t.test('calls for one user that overlap may be carried out in any order: in the end the newest list is there', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  const client = createClient({ url: server.url, keyPrefix: 'belfry', waitReplicas: 0 }, true)
  t.teardown(() => client.disconnect())
  await client.connect()
  const keys = new Keys('belfry')
  const counters: number[] = []
  const scripts = new Scripts(client, scriptTexts(settings), false)
  const calls: Pick<Availability, 'run'> = { run: (_slot, name, keys, args) => scripts.run(name, keys, args) }
  const registrations = new Registrations(calls, keys, (bucket, counter) => {
    t.equal(bucket, bucketOf('alice'))
    counters.push(counter)
  })
  const registered = async (): Promise<string[]> => {
    const value = await server.admin().hget(keys.registry('alice'), NODE)
    const list = value === null ? [] : (JSON.parse(value.slice(value.indexOf(' '))) as ConnectionInfo[])
    return list.map(({ connectionId }) => connectionId)
  }
  const write = async (list: ConnectionInfo[]): Promise<void> => {
    await server.admin().hset(keys.registry('alice'), NODE, `${list.length} ${JSON.stringify(list)}`)
  }

  /** Begins an attach; what it answers with registers the list only then. */
  const begin = (list: ConnectionInfo[]): (() => Promise<void>) => {
    let answer: () => void = () => undefined
    const late = new Promise<void>((resolve) => {
      answer = resolve
    })
    const done = registrations.attach('alice', list, async () => {
      await late
      await write(list)
      return attached
    })
    return async () => {
      answer()
      await done
    }
  }

  const one = begin([connection('a')])
  registrations.want('alice', [])
  await registrations.write('alice', NODE)
  await one()
  t.same(await registered(), ['a'], 'an attach that came after the detach left a ghost')
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), [], 'which is gone with the next second')
  await write([connection('x')])
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), ['x'], 'and nothing is in doubt any more')

  const first = begin([connection('a')])
  const second = begin([connection('a'), connection('b')])
  await second()
  await first()
  t.same(await registered(), ['a'], 'an older attach came last')
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), ['a', 'b'])
  t.same([...registrations.buckets()], [bucketOf('alice')])

  await t.rejects(
    registrations.attach('alice', [connection('a')], async () => {
      throw new Error('no answer')
    })
  )
  await write([])
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), ['a', 'b'], 'what has no outcome is written again')

  await write([])
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), [], 'the call without an answer came late')
  registrations.doubt([bucketOf('alice') + 1])
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), [], 'in a bucket whose counter did not move unheard')
  registrations.doubt([bucketOf('alice')])
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), ['a', 'b'], 'and is written over once it moved the counter')
  t.same(
    counters,
    counters.map((_, index) => index + 2),
    'each write is counted'
  )
  await registrations.attach('alice', [], async () => ({ status: 'limit' }))
  await registrations.retry(NODE, ALL_BUCKETS)
  t.same(await registered(), ['a', 'b'])
  const unsent = async (): Promise<AttachResult> => {
    throw new errors.StoreUnavailable({ cause: new Unsent('away') })
  }
  await t.rejects(registrations.attach('bob', [connection('c')], unsent))
  t.notOk(registrations.buckets().has(bucketOf('bob')), 'nothing can come of a call that was not sent')
})
