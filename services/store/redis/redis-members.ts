import { errors } from '../../errors.ts'
import type { MembersCommand, MembersPage, MembersResult } from '../audiences.ts'
import { bucketOf, hashOf } from '../buckets.ts'
import { list, number, type Reply, text } from './reply.ts'
import type { TopicArgs, TopicScript, Value } from './script-table.ts'
import { CALLS_AT_ONCE } from './scripts.ts'
import { slices } from './slices.ts'

/** Hashes over which a bucket spreads its memberships. A hash of up to 128 memberships is compact: half a million in all. */
const PARTS = 16

/** Time after which an addition that did not go on has failed, milliseconds. */
const JOINING_TTL_MS = 600_000

/** Attempts to add a name that others remove at the same time. */
const ATTEMPTS_MAX = 20

/** The largest cursor of a scan. Redis refuses others. */
const CURSOR_MAX = 2n ** 64n - 1n

/** Members that one step of the removal of a topic removes. */
const REMOVAL = 500

/** Carries out a script of a topic on the master of a bucket. */
export type RunTopic = <Name extends TopicScript>(bucket: number, name: Name, topic: string, args: TopicArgs<Name>) => Promise<Reply>

/** The members of topics. A membership has two parts, in the buckets of the topic and of the user: see `prelude-topic.lua`. */
export class RedisMembers {
  readonly #run: RunTopic

  constructor(run: RunTopic) {
    this.#run = run
  }

  /** Adds and removes members in one step, after the fields of those to add were written. Names that others removed before that step are added again. */
  async change({ topic, add, remove }: MembersCommand): Promise<MembersResult> {
    const home = bucketOf(topic)
    const result = { added: 0, removed: 0 }
    let adding = add
    for (let attempt = 1; ; attempt++) {
      if (attempt > ATTEMPTS_MAX) throw new errors.StoreUnavailable()
      const versions = await this.#reserve(home, topic, adding)
      const removing = attempt === 1 ? remove : []
      const names = [...adding, ...versions, ...removing]
      const reply = list(await this.#run(home, 'members-change', topic, { addedCount: adding.length, names }))
      const [added = 0, removed = 0, version = 0, ...again] = reply.map(number)
      result.added += added
      result.removed += removed
      const partAndUser = (name: string): Value[] => [partOf(name), name]
      if (removing.length > 0) await this.#inBuckets('memberships-remove', topic, removing, partAndUser, { version })
      if (again.length === 0) return result
      adding = again.map((index) => adding[index - 1] as string)
    }
  }

  async page(topic: string, after: string | undefined, limit: number): Promise<MembersPage> {
    const reply = list(await this.#run(bucketOf(topic), 'members-page', topic, { ...placeOf(after), limit }))
    const [mode, next, count, ...texts] = reply
    const listed = texts.map(text)
    const items = listed.splice(0, number(count))
    return { items, next: placeText(text(mode), text(next), listed) }
  }

  async deleteTopic(topic: string): Promise<void> {
    for (;;) {
      const { items, next } = await this.page(topic, undefined, REMOVAL)
      if (items.length > 0) await this.change({ topic, add: [], remove: items })
      else if (next === undefined) return
    }
  }

  async topicsOf(user: string): Promise<string[]> {
    const topicsByHome = new Map<number, string[]>()
    for (const topic of await this.#named(user)) {
      const home = bucketOf(topic)
      topicsByHome.set(home, [...(topicsByHome.get(home) ?? []), topic])
    }
    const found: string[] = []
    for (const homes of slices([...topicsByHome], CALLS_AT_ONCE)) {
      const replies = await Promise.all(homes.map(([home, topics]) => this.#run(home, 'members-check', '', { user, topics })))
      found.push(...replies.flatMap(list).map(text))
    }
    return found.sort()
  }

  /** Ends all memberships of a user. */
  async leaveAll(user: string): Promise<void> {
    for (const topic of await this.#named(user)) await this.change({ topic, add: [], remove: [user] })
  }

  /** Returns the topics that have a field for the user: those of the user, and some that mean nothing. */
  async #named(user: string): Promise<string[]> {
    return list(await this.#run(bucketOf(user), 'memberships', '', { part: partOf(user), user })).map(text)
  }

  /** Takes versions for names, and writes their fields. Resolves with the versions, in order of the names. */
  async #reserve(home: number, topic: string, names: string[]): Promise<number[]> {
    if (names.length === 0) return []
    const [version = 0, ...others] = list(await this.#run(home, 'members-reserve', topic, { ttlMs: JOINING_TTL_MS, names })).map(number)
    const versions = names.map(() => version)
    for (let i = 0; i < others.length; i += 2) versions[(others[i] as number) - 1] = others[i + 1] as number
    const versionByName = new Map(names.map((name, index) => [name, versions[index] as number]))
    await this.#inBuckets('memberships-add', topic, names, (name) => [partOf(name), name, versionByName.get(name) as number], {})
    return versions
  }

  /** Carries out a script in each bucket of the names, a few at a time. */
  async #inBuckets<Name extends 'memberships-add' | 'memberships-remove'>(
    script: Name,
    topic: string,
    names: string[],
    itemOf: (name: string) => Value[],
    args: Omit<TopicArgs<Name>, 'items'>
  ): Promise<void> {
    const itemsByBucket = new Map<number, Value[]>()
    for (const name of names) {
      const bucket = bucketOf(name)
      const items = itemsByBucket.get(bucket) ?? []
      items.push(...itemOf(name))
      itemsByBucket.set(bucket, items)
    }
    for (const calls of slices([...itemsByBucket], CALLS_AT_ONCE)) {
      await Promise.all(calls.map(([bucket, items]) => this.#run(bucket, script, topic, { ...args, items } as unknown as TopicArgs<Name>)))
    }
  }
}

/** Returns the part of the bucket's memberships that a user is in. */
function partOf(user: string): number {
  return (hashOf(user) >>> 8) & (PARTS - 1)
}

/**
 * Returns the place of a page as text: `s` and the last name of a sorted page; or `c`, the cursor of a scan, a dot, and the digests of the names
 * that were listed from it.
 */
function placeText(mode: string, after: string, listed: string[]): string | undefined {
  if (mode === '') return undefined
  return mode === 'sorted' ? `s${after}` : `c${after}.${listed.join('')}`
}

/** Reads a place, which a client may have changed. @throws InvalidRequest */
function placeOf(place = 's'): { mode: string; after: string; listed: string[] } {
  if (place.startsWith('s')) return { mode: 'sorted', after: place.slice(1), listed: [] }
  const [, cursor = '', digests = ''] = /^c(\d{1,20})\.((?:[0-9a-f]{12})*)$/.exec(place) ?? []
  if (cursor === '' || BigInt(cursor) > CURSOR_MAX) throw new errors.InvalidRequest('the cursor is not a nextCursor of this list')
  return { mode: 'scan', after: cursor, listed: digests.match(/.{12}/g) ?? [] }
}
