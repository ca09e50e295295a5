import type { Redis } from 'ioredis'
import { failureReason } from '../../errors.ts'
import type { Durability } from '../store.ts'
import { StoreUnusable } from '../unusable.ts'
import { BUCKETS, type Keys } from './keys.ts'

/** Oldest major version of Redis that has sharded Pub/Sub. */
const OLDEST_MAJOR = 7

/**
 * Checks that a server may be used: Redis 7 or newer, `noeviction`. Rejects with `StoreUnusable` if the server must not be used, and with
 * the server's error if a later attempt may succeed.
 */
export async function checkServer(server: Redis): Promise<void> {
  await selectDatabase(server)
  await checkVersion(server)
  await checkPolicy(server)
}

/**
 * Format of the rows in the database. Rows of format 1 have no tags. Options that an earlier version stored beside rows of format 2 are converted
 * when a step loads their user (`lua/prelude-upgrade.lua`), so nodes of that version may run beside this one during a rolling update.
 */
const ROW_FORMAT = '2'

/** Checks that the database has as many buckets as this driver, and rows of its format. Rejects with `StoreUnusable` if not. */
export async function checkBuckets(server: Redis, keys: Keys): Promise<void> {
  const stored = (await server.get(keys.buckets)) ?? (await claimBuckets(server, keys))
  const [buckets, rowFormat = '1'] = (stored ?? '').split(' ')
  if (buckets !== String(BUCKETS)) throw new StoreUnusable(`the database was made with ${buckets} buckets, this version has ${BUCKETS}`)
  if (rowFormat !== ROW_FORMAT) {
    throw new StoreUnusable(`the database has rows of format ${rowFormat}, this version reads format ${ROW_FORMAT}: use another key prefix`)
  }
}

/** Rejects with `StoreUnusable` if the server may evict keys. A policy that the user may not read is assumed to be right. */
export async function checkPolicy(server: Redis): Promise<void> {
  const policy = await policyOf(server)
  if (policy !== undefined && policy !== 'noeviction') throw new StoreUnusable(`maxmemory-policy must be noeviction, it is ${policy}`)
}

/** Returns how safe an answered write is. A setting that cannot be read counts as `none`. */
export async function durabilityOf(server: Redis): Promise<Durability> {
  const appendonly = await setting(server, 'appendonly')
  if (appendonly === undefined) return /^aof_enabled:1/m.test((await info(server)) ?? '') ? 'os' : 'none'
  if (appendonly !== 'yes') return 'none'
  return (await setting(server, 'appendfsync')) === 'always' ? 'fsync' : 'os'
}

/**
 * Names the process of a server and the history of its data: while the name stays the same, the server has lost no write. It changes with each restart and
 * each promotion. Undefined if the user may not read it.
 */
export async function historyOf(server: Redis): Promise<string | undefined> {
  const text = (await info(server)) ?? ''
  const [, run] = /^run_id:(\w+)/m.exec(text) ?? []
  const [, replication] = /^master_replid:(\w+)/m.exec(text) ?? []
  return run === undefined || replication === undefined ? undefined : `${run} ${replication}`
}

/** Returns a sentence about the facts that this user may not read; undefined if the user may read all. */
export async function hiddenFacts(server: Redis): Promise<string | undefined> {
  if ((await setting(server, 'appendfsync')) !== undefined) return undefined
  if ((await info(server)) === undefined) {
    return 'the Redis user may run neither INFO nor CONFIG GET: version and maxmemory-policy (which must be noeviction) are not checked, and durability is "none" unless replicas confirm'
  }
  return 'the Redis user may not run CONFIG GET: with an AOF durability is "os", since appendfsync always cannot be told from everysec'
}

/** For the failures that a setting causes: the beginning or a part of their message, and a description with the remedy. `$&` is the message. */
const DESCRIPTIONS: readonly (readonly [RegExp, string])[] = [
  [/^WRONGPASS.*/s, 'it refused the user name or the password (WRONGPASS)'],
  [/^NOAUTH.*/s, 'it requires a password, and none was given (NOAUTH)'],
  [/^NOPERM.*/s, '$&: its user needs the permissions in docs/guides/scaling.md'],
  [/^(CROSSSLOT|MOVED).*/s, 'it is a Cluster: set REDIS_CLUSTER_NODES in place of REDIS_URL'],
  [/.*cluster support disabled.*/s, 'it is not a Cluster: set REDIS_URL in place of REDIS_CLUSTER_NODES'],
  [/.*Unknown RESP type.*/s, 'the server there does not speak the protocol of Redis: correct the address'],
  // The library's own time limit, which a server without TLS exceeds: it waits for the rest of a command. The message of the system has an address.
  [
    /^(connect ETIMEDOUT|no answer within \d+ ms)$/,
    '$&: check the address, and that the server speaks TLS there if it is rediss:// or with REDIS_TLS=true'
  ],
  [
    /^Connection is closed\.?$/,
    'the server closes each connection: check the address, and write rediss:// or REDIS_TLS=true if the server speaks TLS there'
  ],
  [/^wrong version number.*/s, 'it does not speak TLS: write redis:// or REDIS_TLS=false'],
  [/.*certificate required.*/s, 'it requires a client certificate: set REDIS_TLS_CERT and REDIS_TLS_KEY'],
  [/^(self-signed certificate|unable to (get|verify)).*/s, '$&: set REDIS_TLS_CA to the authority of its certificate'],
  // The library adds the time of its next attempt, which differs from line to line.
  [
    /^All sentinels are unreachable.*Last error: (.*)/s,
    'no Sentinel named the master, check REDIS_SENTINELS, REDIS_SENTINEL_NAME and REDIS_TLS: $1'
  ]
]

/** Describes for operators why the database cannot be used. The description of one failure is always the same, so that it is logged once. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const reason = failureReason(error.message).trim()
  const [pattern, description] = DESCRIPTIONS.find(([known]) => known.test(reason)) ?? []
  return pattern === undefined ? reason : reason.replace(pattern, description ?? '')
}

/** Selects the configured database. Otherwise the client would use database 0, which may belong to another application. */
async function selectDatabase(server: Redis): Promise<void> {
  const db = server.options.db ?? 0
  if (db === 0) return
  try {
    await server.select(db)
  } catch (error) {
    if (error instanceof Error && /out of range|invalid DB/i.test(error.message)) {
      throw new Error(`it has no database ${db}: the setting "databases" of redis.conf says how many there are`)
    }
    throw error
  }
}

async function checkVersion(server: Redis): Promise<void> {
  const version = /^redis_version:(\d+)(\S*)/m.exec((await info(server)) ?? '')
  if (version !== null && Number(version[1]) < OLDEST_MAJOR) {
    throw new StoreUnusable(`Redis ${version[1]}${version[2]} is too old: 7 is needed`)
  }
}

async function claimBuckets(server: Redis, keys: Keys): Promise<string | null> {
  await server.setnx(keys.buckets, `${BUCKETS} ${ROW_FORMAT}`)
  return await server.get(keys.buckets)
}

async function policyOf(server: Redis): Promise<string | undefined> {
  const text = await info(server)
  if (text === undefined) return await setting(server, 'maxmemory-policy')
  return /^maxmemory_policy:(\S+)/m.exec(text)?.[1]
}

/** Returns undefined if the user may not run INFO. */
function info(server: Redis): Promise<string | undefined> {
  return unlessForbidden(() => server.info())
}

/** Returns undefined if the user may not run CONFIG GET, as on many managed services. */
function setting(server: Redis, name: string): Promise<string | undefined> {
  return unlessForbidden(async () => ((await server.config('GET', name)) as string[])[1])
}

async function unlessForbidden<Result>(ask: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Error && /NOPERM|unknown command|unknown subcommand/i.test(error.message)) return undefined
    throw error
  }
}
