import t, { type Test } from 'tap'
import { errors } from '../../services/errors.ts'
import { createClient } from '../../services/store/redis/clients.ts'
import { CommandNotSent } from '../../services/store/redis/command-not-sent.ts'
import { ALL_BUCKETS, bucketOf, Keys } from '../../services/store/redis/keys.ts'
import type { Master } from '../../services/store/redis/master.ts'
import { Registrations, type RegistryCalls } from '../../services/store/redis/registrations.ts'
import { scriptTexts } from '../../services/store/redis/script-texts.ts'
import { Scripts } from '../../services/store/redis/scripts.ts'
import type { AttachResult, ConnectionInfo } from '../../services/store/store.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { settings } from '../fixtures/redis-ground.ts'

const NODE = 'one'
const USER = 'alice'
const attached = { status: 'attached' } as AttachResult

let server: RedisServer
t.before(async () => {
  server = await RedisServer.start()
})
t.teardown(() => server.stop())
t.beforeEach(async () => {
  await server.admin().flushall()
})

function connection(connectionId: string): ConnectionInfo {
  return { connectionId, deviceId: 'phone', node: NODE, connectedAt: 0, address: '' }
}

/** Registrations of a node, and the registry of `alice` behind their back. */
async function setUp(t: Test) {
  const client = createClient({ url: server.url, keyPrefix: 'belfry', waitReplicas: 0 }, true)
  t.teardown(() => client.disconnect())
  await client.connect()
  const keys = new Keys('belfry')
  const scripts = new Scripts(client, scriptTexts(settings, 'in-step'), false, undefined)
  const calls: RegistryCalls = {
    run: (_slot, name, keys, args) => scripts.run(name, keys, args),
    route: (_slot, send) => send({ commands: client, scripts } as Master)
  }
  const counted: { bucket: number; counter: number }[] = []
  const registrations = new Registrations(calls, keys, (bucket, counter) => {
    counted.push({ bucket, counter })
  })
  return {
    registrations,
    counted,
    retry: () => registrations.retry(NODE, ALL_BUCKETS),
    registered: async (): Promise<string[]> => {
      const connections = (await registrations.read(USER)).get(NODE) ?? []
      return connections.map(({ connectionId }) => connectionId)
    },
    overwrite: async (connections: ConnectionInfo[]): Promise<void> => {
      await server.admin().hset(keys.registry(USER), NODE, `${connections.length} ${JSON.stringify(connections)}`)
    }
  }
}

/** Begins an attach, which Redis carries out and answers when the returned function is called. */
function beginAttach({ registrations, overwrite }: Awaited<ReturnType<typeof setUp>>, connections: ConnectionInfo[]): () => Promise<void> {
  let answer: () => void = () => undefined
  const answered = new Promise<void>((resolve) => {
    answer = resolve
  })
  const done = registrations.attach(USER, connections, async () => {
    await answered
    await overwrite(connections)
    return attached
  })
  return async () => {
    answer()
    await done
  }
}

async function failAttach({ registrations }: Awaited<ReturnType<typeof setUp>>, connections: ConnectionInfo[]): Promise<void> {
  const send = async (): Promise<AttachResult> => {
    throw new Error('no answer')
  }
  await t.rejects(registrations.attach(USER, connections, send), { message: 'no answer' })
}

t.test('an attach that is carried out after the detach: the next retry removes its registration', async (t) => {
  const node = await setUp(t)
  const attach = beginAttach(node, [connection('a')])
  node.registrations.set(USER, [])
  await node.registrations.write(USER, NODE)
  await attach()
  t.same(await node.registered(), ['a'])
  await node.retry()
  t.same(await node.registered(), [])
})

t.test('a retry that ran alone ends the doubt: the registry is not written again', async (t) => {
  const node = await setUp(t)
  const attach = beginAttach(node, [connection('a')])
  node.registrations.set(USER, [])
  await node.registrations.write(USER, NODE)
  await attach()
  await node.retry()
  await node.overwrite([connection('x')])
  await node.retry()
  t.same(await node.registered(), ['x'])
})

t.test('attaches that are carried out in reverse order: the next retry writes the connections of the latest', async (t) => {
  const node = await setUp(t)
  const first = beginAttach(node, [connection('a')])
  const second = beginAttach(node, [connection('a'), connection('b')])
  await second()
  await first()
  t.same(await node.registered(), ['a'])
  await node.retry()
  t.same(await node.registered(), ['a', 'b'])
  t.same([...node.registrations.buckets()], [bucketOf(USER)])
})

t.test('an attach without an answer: the next retry writes the connections before it', async (t) => {
  const node = await setUp(t)
  await beginAttach(node, [connection('a'), connection('b')])()
  await failAttach(node, [connection('a')])
  await node.overwrite([])
  await node.retry()
  t.same(await node.registered(), ['a', 'b'])
})

t.test('an attach that is carried out late: the registry is written again once the counter of its bucket has moved', async (t) => {
  const node = await setUp(t)
  await beginAttach(node, [connection('a'), connection('b')])()
  await failAttach(node, [connection('a')])
  await node.retry()
  await node.overwrite([])
  await node.retry()
  t.same(await node.registered(), [], 'the call was carried out unnoticed')
  node.registrations.doubt([bucketOf(USER) + 1])
  await node.retry()
  t.same(await node.registered(), [], 'the counter of another bucket moved')
  node.registrations.doubt([bucketOf(USER)])
  await node.retry()
  t.same(await node.registered(), ['a', 'b'])
})

t.test('each write is counted', async (t) => {
  const node = await setUp(t)
  const lists = [[connection('a')], [connection('a'), connection('b')], [], [connection('c')]]
  for (const connections of lists) {
    node.registrations.set(USER, connections)
    await node.registrations.write(USER, NODE)
    t.same(
      await node.registered(),
      connections.map(({ connectionId }) => connectionId)
    )
  }
  t.same(
    node.counted,
    lists.map((_, index) => ({ bucket: bucketOf(USER), counter: index + 2 }))
  )
})

t.test('an attach that the limit refused changes nothing', async (t) => {
  const node = await setUp(t)
  await beginAttach(node, [connection('a'), connection('b')])()
  await node.registrations.attach(USER, [], async () => ({ status: 'limit' }))
  await node.retry()
  t.same(await node.registered(), ['a', 'b'])
  t.same(node.counted, [], 'nothing was written again')
})

t.test('an attach that was not sent leaves nothing in doubt', async (t) => {
  const node = await setUp(t)
  const send = async (): Promise<AttachResult> => {
    throw new errors.StoreUnavailable({ cause: new CommandNotSent('the master is not available') })
  }
  await t.rejects(node.registrations.attach(USER, [connection('c')], send))
  t.notOk(node.registrations.buckets().has(bucketOf(USER)))
})

t.test('the nodes of a user are those in the registry', async (t) => {
  const node = await setUp(t)
  t.same(await node.registrations.nodesOf(USER), [])
  await node.overwrite([connection('a')])
  t.same(await node.registrations.nodesOf(USER), [NODE])
})
