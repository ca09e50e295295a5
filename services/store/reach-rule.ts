/**
 * A state of a notification that makes a call unnecessary: some device has received it (its cursor is at or past the row), it was seen, or it was
 * read. Each includes the ones after it, and `read` includes `archived`.
 */
export type Unless = 'delivered' | 'seen' | 'read'

/** A rule for when somebody has to be told: `afterMs` after the append, unless the notification is then as `unless` says. */
export interface ReachRule {
  /** Milliseconds. */
  afterMs: number
  unless: Unless
}
