import { parseEventId } from '../../services/protocol/index.ts'
import type { ClientConnection, ClientJournal, Journal, UserLog } from './journal.ts'

/** Time in which an acknowledgement is stored, unless the store or the node is down, milliseconds. */
const WRITTEN_MS = 2000
/** Longest time until a reset arrives at the node, milliseconds. The node may still write rows to the socket in this time. */
const RESET_MS = 250
/** Rows that the node may write between the reading of the system's buffers and the arrival of the reset: one window (docs/reference/protocol.md). */
const RACING_ROWS = 100

type ClientRule = 'cursor' | 'again' | 'stalled'

/** A notification whose offset is known, and the time at which it got the offset. */
interface Placed {
  id: string
  offset: number
  at: number
}

/** Checks the clients without the SDK; most rules only on a store that loses nothing. */
export function checkClients(journal: Journal, breach: (rule: ClientRule, text: string) => void): void {
  for (const client of journal.clients) {
    const { user, device, acknowledges, isCaughtUp } = client
    if (!isCaughtUp) breach('stalled', `${user} ${device}: at the end it had not got caughtUp`)
    if (journal.lossy) continue
    const log = journal.logs.find((candidate) => candidate.user === user)
    if (log === undefined) continue
    for (const text of acknowledges ? comeAgain(client, journal) : neverCame(client, placesOf(log, journal))) {
      breach(acknowledges ? 'again' : 'cursor', `${user} ${device}: ${text}`)
    }
  }
}

/** Returns the notifications in the log, and those trimmed ones that are known from answers. */
function placesOf({ user, rows, floor }: UserLog, { publishes, recalls }: Journal): Placed[] {
  const places: Placed[] = []
  for (const [index, { kind, id, at }] of rows.entries()) if (kind === 'n') places.push({ id, at, offset: floor + 1 + index })
  const recalled = new Set(recalls.map((recall) => `${recall.user} ${recall.id}`))
  for (const { user: recipient, attempts, options = {} } of publishes) {
    const taken = attempts.find(({ result }) => result !== undefined)
    const offset = parseEventId(taken?.result?.eventId ?? '')?.offset
    if (recipient !== user || taken?.result === undefined || offset === undefined || offset > floor) continue
    // It may have expired, or have been replaced, before it was trimmed.
    if (Object.keys(options).length > 0) continue
    if (!recalled.has(`${user} ${taken.result.id}`)) places.push({ id: taken.result.id, at: taken.doneAt, offset })
  }
  return places.sort((a, b) => a.offset - b.offset)
}

/**
 * Returns the notifications that a client without acknowledgements did not receive, except those that its connections may have lost: the
 * system had accepted their bytes from the node, and did not deliver them to the client before the end.
 */
function neverCame({ connections, gaps }: ClientJournal, places: Placed[]): string[] {
  const begin = connections[0]?.from?.offset
  if (begin === undefined) return []
  const received = new Set(connections.flatMap((connection) => connection.received))
  const inGap = (offset: number): boolean =>
    gaps.some(({ from, to }) => offset >= (parseEventId(from)?.offset ?? 0) && offset <= (parseEventId(to)?.offset ?? 0))
  const missed = places.filter(({ id, offset }) => offset > begin && !received.has(id) && !inGap(offset))
  const mayLose = (connection: ClientConnection, { offset, at }: Placed): boolean => {
    const { end, endedAt, inFlight, bytes = 1, from } = connection
    const through = connection.through ?? from?.offset ?? 0
    if (end === 'closed' || offset <= through || (endedAt > 0 && at > endedAt + RESET_MS)) return false
    if (inFlight === undefined) return true
    const rows = places.filter((place) => place.offset > through && place.offset <= offset).length
    return rows <= RACING_ROWS + inFlight / bytes
  }
  return missed
    .filter((place) => !connections.some((connection) => mayLose(connection, place)))
    .map(({ id, offset }) => `${id} at ${offset} never arrived: ${around(connections, offset)}`)
}

/** Describes the connections before and after a row that never arrived. */
function around(connections: ClientConnection[], offset: number): string {
  const next = connections.findIndex(({ from }) => (from?.offset ?? 0) >= offset)
  const tell = ({ from, through, end, inFlight }: ClientConnection): string =>
    `from ${from?.offset} through ${through} ${end}${inFlight === undefined ? '' : ` with ${inFlight} bytes in flight`}`
  return connections
    .slice(Math.max(0, next - 2), next + 1)
    .map(tell)
    .join(', then ')
}

/** Returns the acknowledgements that did not move the device's cursor: a later connection started before them. */
function comeAgain({ connections }: ClientJournal, journal: Journal): string[] {
  const broken = (from: number, to: number): boolean =>
    journal.windows.some(
      (window) => window.wakeUpsOnly === undefined && window.clockOnly === undefined && window.from < to && window.to > from
    )
  const texts: string[] = []
  let settled = 0
  for (const { asked, from, acknowledged = [], endedAt } of connections) {
    if (!asked && from !== undefined && from.offset < settled) texts.push(`it resumed at ${from.offset}, but had acknowledged ${settled}`)
    for (const { offset, at } of acknowledged) {
      if (endedAt > at + WRITTEN_MS && !broken(at, at + WRITTEN_MS)) settled = Math.max(settled, offset)
    }
  }
  return texts
}
