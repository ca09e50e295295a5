import slotOf from 'cluster-key-slot'
import { BUCKETS, bucketOf } from '../buckets.ts'

export { BUCKETS, bucketOf }

export const ALL_BUCKETS: readonly number[] = Array.from({ length: BUCKETS }, (_, bucket) => bucket)

/** Number of slots of a Redis Cluster. */
export const SLOTS = 16_384

/** Kinds of a user's keys, by their names in the Lua scripts: `<stem><kind>:<user>`. The preludes in `lua/` explain the values. */
const USER_KINDS = {
  META: 'm',
  LOG: 'l',
  STATES: 's',
  KEYED: 'i',
  PARKED: 'q',
  CURSORS: 'c',
  REGISTRY: 'r',
  BODIES: 'b',
  OPTIONS: 'o',
  SCHEDULED: 'd',
  EXPIRIES: 't',
  CHECKS: 'g',
  CALLS: 'a',
  CALL_TIMES: 'e',
  SUBSCRIPTIONS: 'p',
  RECEIPTS: 'u',
  KICKS: 'k'
} as const

/**
 * Kinds of a bucket's keys, by their names in the Lua scripts: `<stem><kind>`.
 *
 * GUARD never exists. While a slot moves from one server of a Cluster to another, both refuse a script that names a missing key beside others
 * (`TRYAGAIN`). Without it, a script that has written could fail at its first missing key, and leave half a step behind.
 */
const BUCKET_KINDS = { DUE: 'due', TIMES: 'times', COUNTERS: 'w', CALLERS: 'calls', WAITING: 'bw', GUARD: 'guard' } as const

type BucketKey = keyof typeof BUCKET_KINDS
export type UserKey = keyof typeof USER_KINDS | BucketKey

/** Text between a key's stem and the user, by the name of the key; for a key of the bucket, the text after the stem. */
export const KEY_KINDS: Readonly<Record<UserKey, string>> = {
  ...BUCKET_KINDS,
  ...(Object.fromEntries(Object.entries(USER_KINDS).map(([name, kind]) => [name, `${kind}:`])) as Record<keyof typeof USER_KINDS, string>)
}

export function isBucketKey(name: UserKey): name is BucketKey {
  return name in BUCKET_KINDS
}

/**
 * Names of all keys and channels of the driver. The keys of a bucket begin with its stem, `<prefix>:{<tag>}:`.
 *
 * The tag of bucket `b` lies in the Cluster slots `64 b` to `64 b + 63`. If the masters share the slots evenly, they share the buckets
 * evenly.
 */
export class Keys {
  /** Heartbeats by node. */
  readonly nodes: string
  /** Settings by node. */
  readonly settings: string
  /** Number of buckets of the database, and the format of its rows. */
  readonly buckets: string
  /** Cluster slots of the three keys that belong to no bucket. */
  readonly nodesSlot: number
  readonly settingsSlot: number
  readonly bucketsSlot: number
  /** By bucket: the key of the wake-up counters of each node. The bucket's channels begin with it. */
  readonly counters: readonly string[]
  /** By bucket: the key of the index of users by the time of their next release. */
  readonly due: readonly string[]
  /** By bucket: the key of the index of users by the time of their next expiry, delivery or check. */
  readonly times: readonly string[]
  /** By bucket: the key of the index of the broadcasts at the head of each queue, by the time from which they wait. */
  readonly waiting: readonly string[]
  /** By bucket: GUARD, the key that never exists. */
  readonly guards: readonly string[]
  /** Patterns that match the registries, and META, of all users. */
  readonly registries: string
  readonly metas: string
  readonly #stems: readonly string[]
  readonly #callersByLane = new Map<string, readonly string[]>()
  readonly #prefix: string

  constructor(prefix: string) {
    if (/[{}]/.test(prefix)) throw new Error('the key prefix must not contain braces')
    this.#prefix = prefix
    this.nodes = `${prefix}:nodes`
    this.settings = `${prefix}:settings`
    this.registries = `${prefix}:{*}:${KEY_KINDS.REGISTRY}*`
    this.metas = `${prefix}:{*}:${KEY_KINDS.META}*`
    this.buckets = `${prefix}:buckets`
    this.nodesSlot = slotOf(this.nodes)
    this.settingsSlot = slotOf(this.settings)
    this.bucketsSlot = slotOf(this.buckets)
    this.#stems = TAGS.map((tag) => `${prefix}:{${tag}}:`)
    this.due = this.#stems.map((stem) => `${stem}${KEY_KINDS.DUE}`)
    this.times = this.#stems.map((stem) => `${stem}${KEY_KINDS.TIMES}`)
    this.waiting = this.#stems.map((stem) => `${stem}${KEY_KINDS.WAITING}`)
    this.guards = this.#stems.map((stem) => `${stem}${KEY_KINDS.GUARD}`)
    this.counters = this.#stems.map((stem) => `${stem}${KEY_KINDS.COUNTERS}`)
  }

  /** Returns the keys with these names for a user, in the order of the names. */
  ofUser(user: string, names: readonly UserKey[]): string[] {
    const stem = this.stem(user)
    return names.map((name) => (isBucketKey(name) ? `${stem}${KEY_KINDS[name]}` : `${stem}${KEY_KINDS[name]}${user}`))
  }

  /** Returns the keys with these names of a bucket, in the order of the names. */
  ofBucket(bucket: number, names: readonly BucketKey[]): string[] {
    return names.map((name) => `${this.#stems[bucket]}${KEY_KINDS[name]}`)
  }

  /** By bucket: the key of the index of users by the time of their next call in a lane. */
  callers(lane: string): readonly string[] {
    let keys = this.#callersByLane.get(lane)
    if (keys === undefined) {
      keys = this.#stems.map((stem) => `${stem}${KEY_KINDS.CALLERS}:${lane}`)
      this.#callersByLane.set(lane, keys)
    }
    return keys
  }

  /** Returns the beginning of the keys of a user and of the user's bucket. */
  stem(user: string): string {
    return this.#stems[bucketOf(user)] as string
  }

  secret(name: string): string {
    return `${this.#prefix}:secret:${name}`
  }

  registry(user: string): string {
    return `${this.stem(user)}${KEY_KINDS.REGISTRY}${user}`
  }

  /** Returns the user of a registry's key, or of another one of the user. */
  userOf(registry: string, kind: UserKey = 'REGISTRY'): string {
    const mark = `}:${KEY_KINDS[kind]}`
    return registry.slice(registry.indexOf(mark) + mark.length)
  }

  /** Returns the channel on which a node receives the wake-ups of a bucket. */
  channel(bucket: number, node: string): string {
    return `${this.counters[bucket]}:${node}`
  }
}

const TAGS = bucketTags()

/** By bucket: the Cluster slot of all its keys and channels. */
export const SLOT_OF_BUCKET: readonly number[] = TAGS.map((tag) => slotOf(tag))

/** Returns the Cluster slot of all keys of a user. */
export function slotOfUser(user: string): number {
  return SLOT_OF_BUCKET[bucketOf(user)] as number
}

/** Finds for each bucket the lowest number, in base 36, whose slot is in the bucket's share of the slots. */
function bucketTags(): string[] {
  const tags: string[] = []
  let missing = BUCKETS
  for (let number = 0; missing > 0; number++) {
    const tag = number.toString(36)
    const bucket = Math.floor((slotOf(tag) * BUCKETS) / SLOTS)
    if (tags[bucket] !== undefined) continue
    tags[bucket] = tag
    missing -= 1
  }
  return tags
}
