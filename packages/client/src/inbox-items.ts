import { type Answer, type Notification, STATES, type State } from '../../../services/protocol/index.ts'
import { isAfter, isAtOrBefore } from './order.ts'

/** A notification with its state and its position in the log. */
export interface InboxItem extends Notification {
  state: State
  eventId: string
  /** The first answer, of any device. */
  answer?: Answer
  /** The action by which this page is answering the notification: there is no answer yet. */
  answering?: string
}

/** The fields that change after the notification arrived. */
export type Change = Partial<Pick<InboxItem, 'state' | 'answer' | 'answering'>>

/** Inserts an item by event id, newest first, in place of those that it replaces. If no comparison is possible, an `older` item goes to the end, others to the top. */
export function withItem(items: readonly InboxItem[], item: InboxItem, older: boolean): InboxItem[] {
  const others = without(items, [item.id, item.replaces], item.collapseKey)
  const index = others.findIndex((other) => isAfter(item.eventId, other.eventId))
  if (index >= 0) others.splice(index, 0, item)
  else if (older || isAtOrBefore(item.eventId, others[0]?.eventId ?? '')) others.push(item)
  else others.unshift(item)
  return others
}

/** Returns a new array. Items that do not change stay the same objects. */
export function withChanges(items: readonly InboxItem[], changeOf: (id: string) => Change | undefined): InboxItem[] {
  return items.map((item) => {
    const change = changeOf(item.id)
    const isSame = !change || (Object.keys(change) as (keyof Change)[]).every((key) => change[key] === item[key])
    return isSame ? item : { ...item, ...change }
  })
}

/** Returns a new array without the items that an id or the collapse key names. */
export function without(items: readonly InboxItem[], ids: (string | undefined)[], collapseKey?: string): InboxItem[] {
  return items.filter((item) => !ids.includes(item.id) && !(collapseKey && item.collapseKey === collapseKey))
}

export function changes(from: State, to: State): boolean {
  return from !== to && (to !== 'seen' || from === 'unread')
}

/** Returns true if `upTo` changes the state, by the rule of the service: states only rise (or fall to unread), archived ones stay. */
export function raises(from: State, to: State): boolean {
  if (from === 'archived') return false
  return to === 'unread' ? from !== to : STATES.indexOf(from) < STATES.indexOf(to)
}
