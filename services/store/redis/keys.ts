/** Buckets the users are spread over: what one script may touch lies in one of them. Fixed for the life of a database. */
export const BUCKETS = 256

export const ALL_BUCKETS: readonly number[] = Array.from({ length: BUCKETS }, (_, bucket) => bucket)

/** Slots of a Redis Cluster. */
export const SLOTS = 16_384

/**
 * Every key and channel of the driver, `<prefix>:{<tag>}:<kind>:<user>`.
 *
 * The tag of bucket `b` lies in the Cluster slots `64 b` to `64 b + 63`, so that slots shared out evenly share out the buckets evenly.
 */
export class Keys {
  /** Heartbeats by node. */
  readonly nodes: string
  /** Settings by node. */
  readonly settings: string
  /** How many buckets the database was made with, and the format of its rows. */
  readonly buckets: string
  /** The Cluster slots of the two keys that belong to no bucket. */
  readonly nodesSlot: number
  /** Slot of `settings`. */
  readonly settingsSlot: number
  readonly bucketsSlot: number
  /** By bucket: users with parked notifications, by the time the next is due. */
  readonly due: readonly string[]
  /** By bucket: what each node was sent so far. Also the beginning of the bucket's channels. */
  readonly counters: readonly string[]
  /** Pattern of the registries of all users. */
  readonly registries: string
  readonly #stems: readonly string[]

  constructor(prefix: string) {
    if (/[{}]/.test(prefix)) throw new Error('the key prefix must not contain braces')
    this.nodes = `${prefix}:nodes`
    this.settings = `${prefix}:settings`
    this.registries = `${prefix}:{*}:r:*`
    this.buckets = `${prefix}:buckets`
    this.nodesSlot = slotOf(this.nodes)
    this.settingsSlot = slotOf(this.settings)
    this.bucketsSlot = slotOf(this.buckets)
    this.#stems = TAGS.map((tag) => `${prefix}:{${tag}}:`)
    this.due = this.#stems.map((stem) => `${stem}due`)
    this.counters = this.#stems.map((stem) => `${stem}w`)
  }

  /** The keys of a user's log, in the order of `prelude.lua`. */
  log(user: string): string[] {
    const bucket = bucketOf(user)
    const stem = this.#stems[bucket] as string
    return [
      `${stem}m:${user}`,
      `${stem}l:${user}`,
      `${stem}s:${user}`,
      `${stem}i:${user}`,
      `${stem}q:${user}`,
      `${stem}c:${user}`,
      `${stem}r:${user}`,
      this.due[bucket] as string,
      this.counters[bucket] as string,
      `${stem}b:${user}`
    ]
  }

  /** What the user's keys begin with, and those of the user's bucket. */
  stem(user: string): string {
    return this.#stems[bucketOf(user)] as string
  }

  meta(user: string): string {
    return `${this.#stems[bucketOf(user)]}m:${user}`
  }

  registry(user: string): string {
    return `${this.#stems[bucketOf(user)]}r:${user}`
  }

  /** Connections of the user that were told to close. */
  kicks(user: string): string {
    return `${this.stem(user)}k:${user}`
  }

  /** The user of a registry's key. */
  userOf(registry: string): string {
    const mark = '}:r:'
    return registry.slice(registry.indexOf(mark) + mark.length)
  }

  /** Where the node is woken for users of the bucket. */
  channel(bucket: number, node: string): string {
    return `${this.counters[bucket]}:${node}`
  }
}

/** The bucket of a user: FNV-1a over its UTF-16 units, folded to 8 bits. */
export function bucketOf(user: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < user.length; i++) hash = Math.imul(hash ^ user.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 8) ^ (hash >>> 16) ^ (hash >>> 24)) & (BUCKETS - 1)
}

/** The Cluster slot of a hash tag: CRC-16/XMODEM. */
export function slotOf(tag: string): number {
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021) & 0xffff
  }
  return crc % SLOTS
}

const TAGS = tags()

/** By bucket: the Cluster slot of all its keys and channels. */
export const SLOT_OF_BUCKET: readonly number[] = TAGS.map(slotOf)

/** The Cluster slot of all keys of a user. */
export function slotOfUser(user: string): number {
  return SLOT_OF_BUCKET[bucketOf(user)] as number
}

function tags(): string[] {
  const found: string[] = []
  let left = BUCKETS
  for (let number = 0; left > 0; number++) {
    const tag = number.toString(36)
    const bucket = Math.floor((slotOf(tag) * BUCKETS) / SLOTS)
    if (found[bucket] !== undefined) continue
    found[bucket] = tag
    left -= 1
  }
  return found
}
