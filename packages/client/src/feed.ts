import type { State } from '../../../services/protocol/index.ts'
import { Inbox, type InboxItem } from './inbox.ts'
import type { Belfry } from './index.ts'
import type { ConnectionState, MarkTarget } from './types.ts'

/** What a view of the inbox shows. The same object until something of it changes. */
export interface FeedSnapshot {
  /** Newest first; archived ones among them. */
  items: readonly InboxItem[]
  unread: number
  /** There may be older ones: `loadMore()` brings them. */
  hasMore: boolean
  state: ConnectionState
  /** A page is on its way. */
  loading: boolean
  /** Why the last page did not come; undefined once another did. */
  error: unknown
}

export const EMPTY_FEED: FeedSnapshot = { items: [], unread: 0, hasMore: false, state: 'disconnected', loading: false, error: undefined }

/** An inbox as a user interface wants it: one snapshot, one listener, and a first page that is loaded once and again after a failure. */
export class Feed {
  readonly #belfry: Belfry
  readonly #inbox: Inbox
  readonly #listeners = new Set<() => void>()
  readonly #off: (() => void)[]
  #snapshot: FeedSnapshot = EMPTY_FEED
  #wanted = false
  #loaded = false
  #loading = false
  #error: unknown

  constructor(belfry: Belfry) {
    this.#belfry = belfry
    this.#inbox = new Inbox(belfry)
    this.#off = [
      this.#inbox.on('change', () => this.#changed()),
      belfry.on('user', () => {
        this.#loaded = false
        this.#error = undefined
        this.#changed()
      }),
      belfry.on('unread', () => this.#changed()),
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

  /** Calls the listener after every change; returns a function that takes it off. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Somebody looks: loads the first page, once. What goes wrong is in the snapshot. */
  open(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.loadMore().catch(() => {})
  }

  /** Loads the next page, or the first. Rejects as `Inbox.more()` does. */
  async loadMore(): Promise<void> {
    if (this.#loading || !this.#inbox.hasMore) return
    this.#loading = true
    this.#changed()
    try {
      await this.#inbox.more()
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

  mark(target: MarkTarget, state?: State): Promise<void> {
    return this.#inbox.mark(target, state)
  }

  markAllRead(): Promise<void> {
    return this.#inbox.markAllRead()
  }

  /** Follows no more. */
  close(): void {
    this.#inbox.close()
    for (const off of this.#off) off()
    this.#listeners.clear()
  }

  #changed(): void {
    const { unread, hasMore } = this.#inbox
    this.#snapshot = {
      items: this.#inbox.list(),
      unread,
      hasMore,
      state: this.#belfry.state,
      loading: this.#loading,
      error: this.#error
    }
    for (const listener of this.#listeners) listener()
  }
}
