/** Limits that every driver keeps. The Lua scripts get their values from here. */

/** Lifetime of an unused user's metadata (epoch, cursors), which outlives their log: 30 days. */
export const META_TTL_MS = 30 * 24 * 3600 * 1000
/** Cursors kept per user. One more evicts the least recently used cursor. */
export const MAX_DEVICES = 20
/** An idempotency key is remembered for at least this many rows, and for as long as the row that it names is in the log. */
export const IDEMPOTENCY_WINDOW = 2000
/** Older keys are forgotten each time the log's top is a multiple of this. */
export const FORGET_EVERY = 64
/** Rows that a log may hold beside its notifications and digests, at least: 4 × `maxEntries` if that is more. */
export const MAX_CHANGES = 5000
/** Superseded changes of state are emptied each time the number of changes is a multiple of this. */
export const COALESCE_EVERY = 128
/** Half-lives after which a parked notification is folded into a digest: its worth is then 2^-4, a sixteenth. */
export const FOLD_AFTER_HALF_LIVES = 4
/** Rows that one step releases while the rate limit is off. */
export const RELEASE_BATCH = 100
/** Scheduled notifications that one step delivers. */
export const DELIVER_BATCH = 100
/** Lost offsets that one step fences off. A user whose log lost more gets a new log. */
export const MAX_FENCE = 1000
/** Longest row that travels inside its wake-up, bytes. */
export const INLINE_MAX = 8192
/** Push subscriptions that a user may have. */
export const MAX_SUBSCRIPTIONS = 20
/** Calls to receivers that a user may have. One more drops the oldest. */
export const MAX_CALLS = 1000
/** Receipts of ended calls that a user may have. One more removes those of the oldest notification. */
export const MAX_RECEIPTS = 1000
/** Time for which a call may be due without a lease, milliseconds. Then nobody carries out calls in its lane any more, and the call ends. */
export const MAX_OVERDUE_MS = 7 * 24 * 3600 * 1000
/** Checks that one step carries out. */
export const CHECK_BATCH = 100
/** Time for which a call is leased, milliseconds. */
export const LEASE_MS = 30_000
