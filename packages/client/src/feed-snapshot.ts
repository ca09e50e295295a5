import type { InboxItem } from './inbox.ts'
import type { ConnectionState, Counts } from './types.ts'

/** The state of a view of the inbox. Every change makes a new object. */
export interface FeedSnapshot extends Counts {
  /** Newest first, including archived ones unless the filter excludes them. */
  items: readonly InboxItem[]
  /** The number of notifications that the filter names, loaded or not; undefined before the first load. */
  count: number | undefined
  /** There may be older items: `loadMore()` loads them. */
  hasMore: boolean
  state: ConnectionState
  /** A page is being loaded. */
  loading: boolean
  /** The error of the last load; undefined after a load that succeeded. */
  error: unknown
}

export const EMPTY_FEED: FeedSnapshot = {
  items: [],
  count: undefined,
  unread: 0,
  unseen: 0,
  hasMore: false,
  state: 'disconnected',
  loading: false,
  error: undefined
}
