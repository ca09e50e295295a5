import { type Position, parseEventId } from '../../services/protocol/index.ts'
import type { DeviceEvent, DeviceJournal, Publish, UserLog } from './journal.ts'
import type { KnownOptions } from './known-options.ts'

type Shown = Extract<DeviceEvent, { type: 'shown' }>
type Gap = Extract<DeviceEvent, { type: 'gap' }>

export function shownOf({ events }: DeviceJournal): Shown[] {
  return events.filter((event): event is Shown => event.type === 'shown')
}

export function gapsOf({ events }: DeviceJournal): Gap[] {
  return events.filter((event): event is Gap => event.type === 'gap')
}

/** The log, devices and publishes of one user, indexed for the rules. */
export class UserView {
  readonly log: UserLog
  readonly devices: DeviceJournal[]
  readonly publishes: Publish[]
  readonly known: KnownOptions
  readonly recalled: (id: string) => boolean
  /** Offset by id of every notification in the log, recalled ones too. */
  readonly offsets = new Map<string, number>()
  /** Ids that were folded into digests. */
  readonly folded = new Set<string>()
  /** Position by id from answers and devices, for notifications that are no longer in the log. */
  readonly #positions = new Map<string, Position>()
  /** The time at which each log of the user was first seen, by epoch. One log begins after another has ended. */
  readonly #begunAt = new Map<string, number>()

  constructor(log: UserLog, devices: DeviceJournal[], publishes: Publish[], known: KnownOptions, recalled: (id: string) => boolean) {
    this.log = log
    this.devices = devices
    this.publishes = publishes
    this.known = known
    this.recalled = recalled
    for (const [index, { kind, id, ids }] of log.rows.entries()) {
      if (kind === 'n' || kind === 'x') this.offsets.set(id, log.floor + 1 + index)
      if (kind === 'd') for (const folded of ids ?? []) this.folded.add(folded)
    }
    // The log may have trimmed the digest.
    for (const { events } of devices)
      for (const event of events) if (event.type === 'digest') for (const id of event.ids) this.folded.add(id)
    for (const publish of publishes) {
      for (const { result, doneAt } of publish.attempts) if (result !== undefined) this.#learn(result.id, result.eventId, doneAt)
    }
    for (const device of devices) {
      for (const { id, eventId, at } of shownOf(device)) this.#learn(id, eventId, at)
      for (const { to, at } of gapsOf(device)) this.#begin(parseEventId(to)?.epoch ?? '', at)
    }
  }

  /** Returns true if the notification may be in no log, and a device may never get it. */
  mayBeMissing(id: string): boolean {
    return this.folded.has(id) || this.recalled(id) || this.known.mayLeave(id)
  }

  position(id: string): Position | undefined {
    const offset = this.offsets.get(id)
    return offset === undefined ? this.#positions.get(id) : { epoch: this.log.epoch, offset, id8: '' }
  }

  /** Returns true if the log no longer has the row that was at this position. */
  isLost({ epoch, offset, id8 }: Position): boolean {
    const { tag } = this.log.rows[offset - this.log.floor - 1] ?? {}
    return epoch !== this.log.epoch || offset > this.log.top || (tag !== undefined && tag !== id8)
  }

  /** Returns true if a gap that was reported to the device covers the notification. */
  inGap(device: DeviceJournal, id: string): boolean {
    const at = this.position(id)
    return gapsOf(device).some(({ reason, from, to }) => {
      const first = parseEventId(from)
      const last = parseEventId(to)
      if (at === undefined) return true
      if (reason === 'epoch' || reason === 'fresh') {
        if (at.epoch === first?.epoch) return at.offset > first.offset
        if (at.epoch === last?.epoch) return reason === 'fresh' && at.offset <= last.offset
        return this.#isBetween(at.epoch, first?.epoch ?? '', last?.epoch ?? '')
      }
      if (at.epoch !== last?.epoch) return false
      return at.offset >= (first?.epoch === at.epoch ? first.offset : 0) && at.offset <= last.offset
    })
  }

  /** Returns whether a log began, and so ended, between two others. */
  #isBetween(epoch: string, first: string, last: string): boolean {
    const at = this.#begunAt.get(epoch) ?? 0
    return at > (this.#begunAt.get(first) ?? 0) && at < (this.#begunAt.get(last) ?? 0)
  }

  #learn(id: string, eventId: string, at: number): void {
    const position = parseEventId(eventId)
    if (position === undefined) return
    this.#positions.set(id, position)
    this.#begin(position.epoch, at)
  }

  #begin(epoch: string, at: number): void {
    this.#begunAt.set(epoch, Math.min(at, this.#begunAt.get(epoch) ?? at))
  }
}
