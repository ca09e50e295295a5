/** A place in a log: epoch, offset (gapless from 1; 0 is before the first row) and the row's tag, which no other append has. */
export interface Position {
  epoch: string
  offset: number
  /** The tag, 8 characters; '' where it is not known, which turns the fork check off. */
  id8: string
}

const EVENT_ID = /^([0-9a-z]{1,16})\.(0|[1-9][0-9]{0,14})(?:\.([0-9A-Za-z_~-]{8}))?$/

/** `<epoch>.<offset>.<id8>`, or `<epoch>.<offset>` when the tag is not known; '' for the start of an unknown log. */
export function formatEventId(position: Position): string {
  if (position.epoch === '') return ''
  const place = `${position.epoch}.${position.offset}`
  return position.id8 === '' ? place : `${place}.${position.id8}`
}

/** The position an event id names, or undefined when it is not one. */
export function parseEventId(eventId: string): Position | undefined {
  const match = EVENT_ID.exec(eventId)
  if (match === null) return undefined
  return { epoch: match[1] as string, offset: Number(match[2]), id8: match[3] ?? '' }
}
