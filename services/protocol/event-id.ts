/** A place in a log: the row at it is the last that a cursor has passed. */
export interface Position {
  /** The identity of the log; '' for a log that does not exist yet. */
  epoch: string
  /** Place of the row, gapless from 1; 0 is before the first row. */
  offset: number
  /** The tag of the row, 8 characters, which no other append has; '' if it is not known, which turns the fork check off. */
  id8: string
}

const EVENT_ID = /^([0-9a-z]{1,16})\.(0|[1-9][0-9]{0,14})(?:\.([0-9A-Za-z_~-]{8}))?$/

/** Formats a position as `<epoch>.<offset>.<id8>`, or `<epoch>.<offset>` if the tag is not known; '' if the log does not exist yet. */
export function formatEventId(position: Position): string {
  if (position.epoch === '') return ''
  const place = `${position.epoch}.${position.offset}`
  return position.id8 === '' ? place : `${place}.${position.id8}`
}

/** Parses an event id. Returns undefined if the text is not one. */
export function parseEventId(eventId: string): Position | undefined {
  const match = EVENT_ID.exec(eventId)
  if (match === null) return undefined
  return { epoch: match[1] as string, offset: Number(match[2]), id8: match[3] ?? '' }
}
