import { parseEventId } from '../../../services/protocol/index.ts'

/** How many offsets the row is ahead of a place in the log; NaN when they cannot be compared. */
export function ahead(eventId: string, place: string): number {
  const at = parseEventId(eventId)
  const from = parseEventId(place)
  return at && at.epoch === from?.epoch ? at.offset - from.offset : Number.NaN
}
