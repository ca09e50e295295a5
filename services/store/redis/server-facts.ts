import { Cluster } from 'ioredis'
import type { Durability } from '../store.ts'
import type { Client } from './clients.ts'
import { BUCKETS, type Keys } from './keys.ts'

/** The database must not be used: what is wrong will not pass by itself. */
export class Refused extends Error {}

const OLDEST_MAJOR = 7

/**
 * Checks that the database may be used: Redis 7 or newer, `noeviction`, made with as many buckets as this driver has.
 * Rejects with `Refused` when not.
 */
export async function checkServer(client: Client, keys: Keys): Promise<void> {
  for (const node of nodesOf(client)) {
    const info = await node.info()
    const version = /^redis_version:(\d+)(\S*)/m.exec(info)
    if (version !== null && Number(version[1]) < OLDEST_MAJOR) throw new Refused(`Redis ${version[1]}${version[2]} is too old: 7 is needed`)
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction'
    if (policy !== 'noeviction') throw new Refused(`maxmemory-policy must be noeviction, it is ${policy}`)
  }
  await client.setnx(keys.buckets, BUCKETS)
  const buckets = await client.get(keys.buckets)
  if (buckets !== String(BUCKETS)) throw new Refused(`the database was made with ${buckets} buckets, this version has ${BUCKETS}`)
}

/** How safe a write is once it was answered, as far as the server says: the weakest of the masters counts. */
export async function durabilityOf(client: Client): Promise<Durability> {
  const levels = await Promise.all(
    nodesOf(client).map(async (node): Promise<Durability> => {
      const appendonly = await setting(node, 'appendonly')
      if (appendonly !== 'yes') return 'none'
      return (await setting(node, 'appendfsync')) === 'always' ? 'fsync' : 'os'
    })
  )
  if (levels.includes('none') || levels.length === 0) return 'none'
  return levels.includes('os') ? 'os' : 'fsync'
}

function nodesOf(client: Client) {
  return client instanceof Cluster ? client.nodes('master') : [client]
}

/** Managed services may forbid CONFIG; INFO at least tells whether there is an AOF. */
async function setting(node: ReturnType<typeof nodesOf>[number], name: string): Promise<string | undefined> {
  try {
    return ((await node.config('GET', name)) as string[])[1]
  } catch (error) {
    if (!(error instanceof Error) || !/NOPERM|unknown command/i.test(error.message)) throw error
    if (name !== 'appendonly') return undefined
    return /^aof_enabled:1/m.test(await node.info('persistence')) ? 'yes' : 'no'
  }
}
