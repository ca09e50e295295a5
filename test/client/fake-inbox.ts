import type { ClientFrame, Notification, RowFrame, State } from '../../services/protocol/index.ts'
import { type FakeConnection, type FakeServer, notificationOf } from './fake-server.ts'

interface Stored extends Notification {
  state: State
  eventId: string
}

/** The inbox of a `FakeServer`: it keeps the state of each notification, and answers pages, filters and marks as the service does. */
export class FakeInbox {
  readonly #server: FakeServer
  /** Oldest first. */
  items: Stored[] = []

  constructor(server: FakeServer) {
    this.#server = server
    server.rest = (url) => ({ status: 200, body: this.page(url) })
    server.answer = (connection, frame) => this.answer(connection, frame)
    server.greet = (connection) => {
      const { log } = server
      const to = log.at(-1)?.eventId ?? ''
      const from = log.findIndex(({ eventId }) => eventId === connection.query.get('last_event_id')) + 1
      connection.hello({ ...this.counts, resume: { status: 'resumed', from: '', to, pending: log.length - from, parked: 0 } })
      for (const row of log.slice(from)) connection.send({ ...row, replay: true })
      connection.send({ type: 'caughtUp', eventId: to, ...this.counts })
    }
  }

  get counts(): { unread: number; unseen: number } {
    const of = (...states: State[]) => this.items.filter(({ state }) => states.includes(state)).length
    return { unread: of('unread', 'seen'), unseen: of('unread') }
  }

  /** Appends a notification at the next offset, and sends it to every connection. */
  publish(given: Partial<Notification> = {}): Stored {
    const offset = this.#server.log.length + 1
    const notification = { ...notificationOf(offset), ...given }
    const item: Stored = { ...notification, state: 'unread', eventId: this.#server.eventId(offset, notification.id) }
    this.items = [...this.items.filter(({ id }) => id !== notification.replaces), item]
    this.#server.append({ type: 'notification', eventId: '', notification })
    return item
  }

  /** Adds a notification that came before the log of this test: connections do not get it. */
  addOld(given: Partial<Stored> = {}): Stored {
    const offset = this.#server.log.length + 1
    const item = { ...notificationOf(offset), state: 'unread' as const, eventId: this.#server.eventId(offset), ...given }
    this.items.push(item)
    this.#server.log.push({ type: 'notification', eventId: item.eventId, notification: item, state: item.state })
    return item
  }

  /** Marks as another device does. Returns the ids whose state changed. */
  mark(ids: string[], state: State): string[] {
    const changed = this.items.filter(
      ({ id, state: from }) => ids.includes(id) && from !== state && (state !== 'seen' || from === 'unread')
    )
    for (const item of changed) item.state = state
    const changedIds = changed.map(({ id }) => id)
    if (changed.length > 0) this.#append({ type: 'state', eventId: '', ids: changedIds, state, ...this.counts })
    return changedIds
  }

  recall(id: string): void {
    this.items = this.items.filter((item) => item.id !== id)
    this.#append({ type: 'retract', eventId: '', id, reason: 'recalled', ...this.counts })
  }

  answer(connection: FakeConnection, frame: ClientFrame): void {
    if (frame.type !== 'mark') return
    const { state, only } = frame
    const upTo = this.items.findIndex(({ eventId }) => eventId === frame.upTo) + 1
    const stretch = this.items.slice(0, upTo).filter((item) => only || (item.state !== 'archived' && state !== 'unread'))
    const named = frame.ids ?? stretch.map(({ id }) => id)
    const ids = this.mark(
      this.items.filter((item) => named.includes(item.id) && (!only || item.state === only)).map(({ id }) => id),
      state
    )
    connection.send({ type: 'ok', ref: frame.ref ?? 0, ...this.counts, ...(only && { ids }) })
  }

  page({ searchParams }: URL): unknown {
    const states = searchParams.get('state')?.split(',')
    if (states?.includes('unread')) states.push('seen')
    const types = searchParams.get('type')?.split(',')
    const isOf = (type: string) => types?.some((one) => (one.endsWith('*') ? type.startsWith(one.slice(0, -1)) : type === one)) ?? true
    const all = this.items.filter(({ state, type }) => (states?.includes(state) ?? true) && isOf(type)).reverse()
    const offsetOf = ({ eventId }: Stored) => Number(eventId.split('.')[1])
    const rest = all.filter((item) => offsetOf(item) < Number(searchParams.get('cursor') ?? Infinity))
    const items = rest.slice(0, Number(searchParams.get('limit')))
    const nextCursor = items.length < rest.length ? String(offsetOf(items.at(-1) as Stored)) : null
    return { items, nextCursor, ...this.counts, ...(searchParams.get('count') && { count: all.length }) }
  }

  #append(row: RowFrame): void {
    this.#server.append(row)
  }
}
