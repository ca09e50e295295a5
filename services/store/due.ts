/**
 * A time at which a notification expires, Unix milliseconds. `offset` is its place in the log; Infinity if it is parked or scheduled, and then
 * `no` is its number.
 */
export interface Expiry {
  at: number
  id: string
  offset: number
  no: number
}

/** Inserts an item into a list that is sorted by `isBefore`, after those of equal order. */
export function insertSorted<Item>(list: Item[], item: Item, isBefore: (one: Item, other: Item) => boolean): void {
  list.splice(placeOf(list, item, isBefore), 0, item)
}

/** Returns the index in a sorted list before which an item belongs. */
export function placeOf<Item>(list: Item[], item: Item, isBefore: (one: Item, other: Item) => boolean): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (isBefore(item, list[middle] as Item)) high = middle
    else low = middle + 1
  }
  return low
}

/** The place of a parked notification: its urgency and its number. */
interface ReleasePlace {
  level: number
  no: number
}

/** The place of a scheduled notification: its time and its number. */
interface DeliveryPlace {
  at: number
  no: number
}

/** Tells the order of release: by urgency, then in publish order. */
export function isReleasedBefore(one: ReleasePlace, other: ReleasePlace): boolean {
  return one.level === other.level ? one.no < other.no : one.level > other.level
}

/** Tells the order of delivery: by time, then in publish order. */
export function isDeliveredBefore(one: DeliveryPlace, other: DeliveryPlace): boolean {
  return one.at === other.at ? one.no < other.no : one.at < other.at
}

/** Tells the order of expiry: by time; at one time those in the log first, in its order, then the parked and scheduled ones in publish order. */
export function isExpiredBefore(one: Expiry, other: Expiry): boolean {
  if (one.at !== other.at) return one.at < other.at
  return one.offset === other.offset ? one.no < other.no : one.offset < other.offset
}

/** Returns the parked or scheduled notification of a collapse key. */
export function findByCollapseKey<Waiting extends { options: { collapseKey: string } }>(
  list: Waiting[],
  collapseKey: string
): Waiting | undefined {
  return collapseKey === '' ? undefined : list.find(({ options }) => options.collapseKey === collapseKey)
}

/** The lists of a user that are in order of time. */
interface TimeLists {
  expiries: Expiry[]
  scheduled: DeliveryPlace[]
  checks: { at: number }[]
}

/** Returns the nearest time at which something expires, is to be delivered or to be checked, Unix milliseconds; 0 if there is none. */
export function nearestTime({ expiries, scheduled, checks }: TimeLists): number {
  const expiry = expiries[0]?.at ?? Number.POSITIVE_INFINITY
  const delivery = scheduled[0]?.at ?? Number.POSITIVE_INFINITY
  const check = checks[0]?.at ?? Number.POSITIVE_INFINITY
  const nearest = Math.min(expiry, delivery, check)
  return nearest === Number.POSITIVE_INFINITY ? 0 : nearest
}
