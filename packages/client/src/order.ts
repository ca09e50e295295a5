/**
 * Returns by how many offsets an event id is after a position; NaN if they cannot be compared, because their epochs differ or one is not
 * an event id. Event ids are `<epoch>.<offset>.…`.
 */
function distance(eventId: string, position: string): number {
  const [epoch, offset] = eventId.split('.')
  const [positionEpoch, positionOffset] = position.split('.')
  return epoch === positionEpoch ? Number(offset) - Number(positionOffset) : NaN
}

/** Returns false also if the two cannot be compared. */
export function isAfter(eventId: string, position: string): boolean {
  return distance(eventId, position) > 0
}

/** Returns false also if the two cannot be compared: it is not the opposite of `isAfter`. */
export function isAtOrBefore(eventId: string, position: string): boolean {
  return distance(eventId, position) <= 0
}

/** Returns true if no row can be between the position and the event id. */
export function isNext(eventId: string, position: string): boolean {
  return distance(eventId, position) === 1
}

export function isEventId(text: string): boolean {
  return distance(text, text) === 0
}
