import type { Http } from './http.ts'
import type { CallOptions } from './types.ts'

/** Most names in one request. */
const MAX_NAMES = 10_000

/** The change of a topic: users that were not members before, and users that were. */
export interface MembershipChange {
  added: number
  removed: number
}

interface Members {
  items: string[]
  nextCursor: string | null
}

/** Topics and their members. Each call needs the scope `admin`, may be repeated, and is retried. */
export class Topics {
  readonly #http: Http

  constructor(http: Http) {
    this.#http = http
  }

  /** Adds members: any number, in requests of 10,000. */
  add(topic: string, users: string | readonly string[], options?: CallOptions): Promise<MembershipChange> {
    return this.#change(topic, 'add', users, options)
  }

  /** Removes members: any number, in requests of 10,000. */
  remove(topic: string, users: string | readonly string[], options?: CallOptions): Promise<MembershipChange> {
    return this.#change(topic, 'remove', users, options)
  }

  /** Yields the members of a topic, page by page. */
  async *members(topic: string, options?: CallOptions): AsyncGenerator<string, void, undefined> {
    let cursor: string | null = null
    do {
      const query: string = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`
      const page = (await this.#http.retry('GET', `${pathOf(topic)}/members${query}`, options)) as Members
      yield* page.items
      cursor = page.nextCursor
    } while (cursor !== null)
  }

  /** Returns the topics of a user. */
  async of(user: string, options?: CallOptions): Promise<string[]> {
    const path = `/v1/users/${encodeURIComponent(user)}/topics`
    return ((await this.#http.retry('GET', path, options)) as { items: string[] }).items
  }

  /** Deletes a topic with its memberships. Users and what they received stay. */
  async delete(topic: string, options?: CallOptions): Promise<void> {
    await this.#http.retry('DELETE', pathOf(topic), options)
  }

  async #change(
    topic: string,
    what: 'add' | 'remove',
    users: string | readonly string[],
    options?: CallOptions
  ): Promise<MembershipChange> {
    const names = typeof users === 'string' ? [users] : users
    const change = { added: 0, removed: 0 }
    for (let from = 0; from < names.length; from += MAX_NAMES) {
      const body = { [what]: names.slice(from, from + MAX_NAMES) }
      const { added, removed } = (await this.#http.retry('PATCH', `${pathOf(topic)}/members`, options, body)) as MembershipChange
      change.added += added
      change.removed += removed
    }
    return change
  }
}

function pathOf(topic: string): string {
  return `/v1/topics/${encodeURIComponent(topic)}`
}
