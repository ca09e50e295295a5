/** A time at which a notification expires, Unix milliseconds. */
export interface Expiry {
  at: number
  id: string
}

/** Inserts into a list that stays in order, which `isBefore` tells. */
export function insertSorted<Item>(list: Item[], item: Item, isBefore: (one: Item, other: Item) => boolean): void {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (isBefore(item, list[middle] as Item)) high = middle
    else low = middle + 1
  }
  list.splice(low, 0, item)
}

/** A parked notification: its urgency and its turn. */
interface Turn {
  level: number
  no: number
}

/** A scheduled notification: its time and its turn. */
interface ScheduledTurn {
  at: number
  no: number
}

/** The order of release: the more urgent first, in publish order within a level. */
export function isReleasedBefore(one: Turn, other: Turn): boolean {
  return one.level === other.level ? one.no < other.no : one.level > other.level
}

/** The order of delivery: by time, in publish order at the same time. */
export function isDeliveredBefore(one: ScheduledTurn, other: ScheduledTurn): boolean {
  return one.at === other.at ? one.no < other.no : one.at < other.at
}

/** The order of expiry: by time, by id at the same time. */
export function expiresBefore(one: Expiry, other: Expiry): boolean {
  return one.at === other.at ? one.id < other.id : one.at < other.at
}

/** Returns the parked or scheduled notification of a collapse key. */
export function waitingOf<Waiting extends { options: { collapseKey: string } }>(list: Waiting[], collapseKey: string): Waiting | undefined {
  return collapseKey === '' ? undefined : list.find(({ options }) => options.collapseKey === collapseKey)
}

/** Returns the nearest time at which something expires or is to be delivered, Unix milliseconds; 0 if there is none. */
export function nearestTime({ expiries, scheduled }: { expiries: Expiry[]; scheduled: ScheduledTurn[] }): number {
  const expiry = expiries[0]?.at ?? Number.POSITIVE_INFINITY
  const delivery = scheduled[0]?.at ?? Number.POSITIVE_INFINITY
  const nearest = Math.min(expiry, delivery)
  return nearest === Number.POSITIVE_INFINITY ? 0 : nearest
}
