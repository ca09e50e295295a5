import type { PublishedOptions } from './journal.ts'

/** Shares of the notifications with each option. Most have none, so that the other rules keep their power. */
const EXPIRING = 0.05
const COLLAPSING = 0.06
const URGENT = 0.06
const SCHEDULED = 0.04
const OFFERING = 0.06
/** Collapse keys of a user. */
const KEYS = 3
const URGENCIES = ['high', 'high', 'low', 'very-low'] as const

export const ACTIONS = [
  { action: 'approve', title: 'Approve' },
  { action: 'reject', title: 'Reject' }
]

/** Draws the delivery options of a notification that is published at `now`. They expire and are due within the time that ends a run. */
export function drawOptions(random: () => number, now: number): PublishedOptions {
  const options: PublishedOptions = {}
  if (random() < SCHEDULED) options.deliverAt = now + 1000 + Math.floor(4000 * random())
  if (random() < EXPIRING) {
    if (random() < 0.5) options.ttl = 1 + Math.floor(3 * random())
    else options.expiresAt = (options.deliverAt ?? now) + 500 + Math.floor(3500 * random())
  }
  if (random() < COLLAPSING) options.collapseKey = `key-${Math.floor(KEYS * random())}`
  if (random() < URGENT) options.urgency = URGENCIES[Math.floor(URGENCIES.length * random())] as (typeof URGENCIES)[number]
  if (random() < OFFERING) {
    options.actions = ACTIONS
    // The answer comes before the expiry, and cancels it.
    if (options.expiresAt === undefined && random() < 0.5) options.ttl = 2
  }
  return options
}
