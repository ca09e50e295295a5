import type { Client } from './client.ts'
import { EMPTY_FEED, type FeedSnapshot } from './feed-snapshot.ts'
import { Inbox, type InboxOptions } from './inbox.ts'

/** An inbox for user interfaces: one snapshot, one listener, and a first page that is loaded once, and again if that failed. */
export class Feed {
  readonly #belfry: Client
  /** Makes the changes. */
  readonly inbox: Inbox
  readonly #listeners = new Set<() => void>()
  readonly #off: (() => void)[]
  #snapshot: FeedSnapshot = EMPTY_FEED
  #wanted = false
  #loaded = false
  #loading = false
  #error: unknown

  constructor(belfry: Client, options: InboxOptions = {}) {
    this.#belfry = belfry
    this.inbox = new Inbox(belfry, options)
    this.#off = [
      this.inbox.on('change', () => this.#changed()),
      belfry.on('user', () => {
        this.#loaded = false
        this.#error = undefined
        this.#changed()
      }),
      belfry.on('state', ({ state }) => {
        this.#changed()
        if (state === 'connected' && this.#wanted && !this.#loaded) this.loadMore().catch(() => {})
      })
    ]
    this.#changed()
  }

  get snapshot(): FeedSnapshot {
    return this.#snapshot
  }

  /** Calls the listener after every change. Returns a function that removes it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Loads the first page, the first time it is called. The snapshot has the error of a failed load. */
  open(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.loadMore().catch(() => {})
  }

  /** Loads the next page, or the first. Rejects as `Inbox.more()` does. */
  async loadMore(): Promise<void> {
    if (this.#loading || !this.inbox.hasMore) return
    this.#loading = true
    this.#changed()
    try {
      await this.inbox.more()
      this.#loaded = true
      this.#error = undefined
    } catch (error) {
      this.#error = error
      throw error
    } finally {
      this.#loading = false
      this.#changed()
    }
  }

  /** Stops following the client. */
  close(): void {
    this.inbox.close()
    for (const off of this.#off) off()
    this.#listeners.clear()
  }

  #changed(): void {
    const { unread, unseen, count, hasMore } = this.inbox
    this.#snapshot = {
      items: this.inbox.list(),
      count,
      unread,
      unseen,
      hasMore,
      state: this.#belfry.state,
      loading: this.#loading,
      error: this.#error
    }
    for (const listener of this.#listeners) listener()
  }
}
