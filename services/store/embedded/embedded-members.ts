import type { MembersCommand, MembersPage, MembersResult } from '../audiences.ts'
import { encode, lastNameOf, type Range, ranges } from './audience-codec.ts'
import type { CheckedEntry, Operation } from './database.ts'
import type { KeyedLock } from './keyed-lock.ts'

/** Members whose entries are looked up at once, and members that one write of the removal of a topic removes. */
const SLICE = 500

/** The database, as the audiences use it. Calls reject with `StoreUnavailable` or `StoreFull`. */
export interface AudienceSession {
  range(range: Range, limit?: number): Promise<CheckedEntry[]>
  write(operations: Operation[]): Promise<void>
}

/** The members of topics. A change of a topic is one write, which holds both entries of each membership. */
export class EmbeddedMembers {
  readonly #locks: KeyedLock

  /** @param locks a lock for each topic, which the start of a broadcast also takes */
  constructor(locks: KeyedLock) {
    this.#locks = locks
  }

  async change(session: AudienceSession, { topic, add, remove }: MembersCommand): Promise<MembersResult> {
    return await this.#locks.take(topic, async () => {
      const newcomers = await this.#filter(session, topic, add, false)
      const leavers = await this.#filter(session, topic, remove, true)
      const joins = newcomers.flatMap((name) => encode.join(topic, name))
      const operations = [...joins, ...leavers.flatMap((name) => encode.leave(topic, name))]
      if (operations.length > 0) await session.write(operations)
      return { added: newcomers.length, removed: leavers.length }
    })
  }

  async page(session: AudienceSession, topic: string, after: string | undefined, limit: number): Promise<MembersPage> {
    const entries = await session.range(ranges.members(topic, after), limit + 1)
    const items = namesOf(entries.slice(0, limit))
    const [last] = entries.slice(limit - 1, limit)
    return { items, next: entries.length > limit && last !== undefined ? lastNameOf(last[0]) : undefined }
  }

  async deleteTopic(session: AudienceSession, topic: string): Promise<void> {
    let after: string | undefined
    do {
      after = await this.#locks.take(topic, async () => {
        const entries = await session.range(ranges.members(topic, after), SLICE)
        const names = entries.map(([key]) => lastNameOf(key))
        if (names.length > 0) await session.write(names.flatMap((name) => encode.leave(topic, name)))
        return names.at(-1)
      })
    } while (after !== undefined)
  }

  async topicsOf(session: AudienceSession, user: string): Promise<string[]> {
    return namesOf(await session.range(ranges.memberships(user))).sort()
  }

  async leaveAll(session: AudienceSession, user: string): Promise<void> {
    for (const topic of await this.topicsOf(session, user)) {
      await this.#locks.take(topic, () => session.write(encode.leave(topic, user)))
    }
  }

  /** Returns those of the names that are members, or those that are not. */
  async #filter(session: AudienceSession, topic: string, names: string[], areMembers: boolean): Promise<string[]> {
    const filtered: string[] = []
    for (let at = 0; at < names.length; at += SLICE) {
      const slice = names.slice(at, at + SLICE)
      const found = await Promise.all(slice.map((name) => session.range(ranges.member(topic, name), 1)))
      filtered.push(...slice.filter((_name, index) => found[index]?.length === (areMembers ? 1 : 0)))
    }
    return filtered
  }
}

/** Decodes the names of entries. A key whose checksum does not match is left out: the name may be wrong. */
function namesOf(entries: CheckedEntry[]): string[] {
  return entries.filter(([, value]) => value !== undefined).map(([key]) => lastNameOf(key))
}
