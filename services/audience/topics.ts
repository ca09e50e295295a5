import { errors } from '../errors.ts'
import { type Audiences, MEMBERS_MAX } from '../store/audiences.ts'

/** Names to add to a topic and to remove from it. */
interface MembersChange {
  add?: string[]
  remove?: string[]
}

/** Numbers of the names that became members, and of those that ceased to be. */
interface MembersAnswer {
  added: number
  removed: number
}

interface MembersPage {
  items: string[]
  nextCursor: string | null
}

/** The topics: named sets of users. Routes and an app that embeds Belfry change them here. */
export class Topics {
  readonly #audiences: Audiences

  constructor(audiences: Audiences) {
    this.#audiences = audiences
  }

  /** Makes users members of a topic. Resolves with the number of those who were not. */
  async add(topic: string, users: string | readonly string[]): Promise<number> {
    let added = 0
    for (const add of partsOf(users)) added += (await this.change(topic, { add })).added
    return added
  }

  /** Ends memberships. Resolves with the number of users who were members. */
  async remove(topic: string, users: string | readonly string[]): Promise<number> {
    let removed = 0
    for (const remove of partsOf(users)) removed += (await this.change(topic, { remove })).removed
    return removed
  }

  /**
   * Adds and removes members in one step. A name counts once, however often it is listed.
   *
   * @throws InvalidRequest if there is no name, or a name is in both lists; TooLarge above `MEMBERS_MAX` names
   */
  async change(topic: string, change: MembersChange): Promise<MembersAnswer> {
    const add = new Set(change.add)
    const remove = new Set(change.remove)
    if (add.size + remove.size === 0) throw new errors.InvalidRequest('add or remove must have a name')
    if (add.size + remove.size > MEMBERS_MAX) throw new errors.TooLarge(`add and remove may have ${MEMBERS_MAX} names together`)
    for (const user of add) if (remove.has(user)) throw new errors.InvalidRequest('a name may be in add or in remove, but not in both')
    return await this.#audiences.changeMembers({ topic, add: [...add], remove: [...remove] })
  }

  /** Lists members, in no certain order. @param query `cursor` is the `nextCursor` of the previous page */
  async members(topic: string, { limit, cursor }: { limit: number; cursor?: string }): Promise<MembersPage> {
    const { items, next } = await this.#audiences.members(topic, cursor, limit)
    return { items, nextCursor: next ?? null }
  }

  /** Removes all members. Broadcasts that have started go on. */
  async delete(topic: string): Promise<void> {
    await this.#audiences.deleteTopic(topic)
  }

  /** Lists the topics of a user in alphabetical order. */
  async topicsOf(user: string): Promise<string[]> {
    return await this.#audiences.topicsOf(user)
  }
}

/** Splits a list into parts of `MEMBERS_MAX` names. */
function partsOf(users: string | readonly string[]): string[][] {
  const list = typeof users === 'string' ? [users] : users
  return Array.from({ length: Math.ceil(list.length / MEMBERS_MAX) }, (_, part) => list.slice(part * MEMBERS_MAX, (part + 1) * MEMBERS_MAX))
}
