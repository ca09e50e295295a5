/** How many offsets the row is ahead of a place in the log; NaN when they cannot be compared. Event ids are `<epoch>.<offset>.…`. */
export function ahead(eventId: string, place: string): number {
  const [epoch, offset] = eventId.split('.')
  const [placeEpoch, placeOffset] = place.split('.')
  return epoch === placeEpoch ? Number(offset) - Number(placeOffset) : Number.NaN
}
