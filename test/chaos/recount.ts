import type { State } from '../../services/protocol/index.ts'
import { countsAsUnread } from '../../services/store/state.ts'
import type { DeviceJournal, LogRow, UserLog } from './journal.ts'
import type { KnownOptions } from './known-options.ts'

/**
 * Compares the unread counts of rows and devices with a recount. The rows' counts are compared only in a whole log: after trimming, or
 * after superseded changes were emptied, the history is not known. The devices' counts are compared only if the store lost nothing,
 * because devices are not told of the loss, and if no notification reached its age while the counts were read.
 *
 * A row that was replaced is emptied, and no row tells so. It leaves the count where the next one of its collapse key is.
 */
export function checkCounts(
  { user, rows, floor, unread, states }: UserLog,
  known: KnownOptions,
  devices: DeviceJournal[],
  breach: (rule: 'unread' | 'state', text: string) => void
): void {
  const counted = new Map<string, State>()
  const idByKey = new Map<string, string>()
  const isUnread = (id: string): boolean => counted.has(id) && countsAsUnread(counted.get(id))
  const leave = (id: string): void => {
    if (isUnread(id)) count -= 1
    counted.delete(id)
  }
  const mark = (id: string, state: State): void => {
    if (isUnread(id)) count -= 1
    if (counted.has(id)) counted.set(id, state)
    if (isUnread(id)) count += 1
  }
  let count = 0
  // The collapse key of a notification is not known if no publisher and no device knows it.
  const strangers = rows.filter(({ kind, id }) => kind === 'x' && !known.ids.has(id)).map(({ id }) => id)
  const isWhole = floor === 0 && strangers.length === 0 && !rows.some(({ kind }) => kind === '-')
  const compare = (row: LogRow, index: number): void => {
    if (isWhole && row.unread !== count) breach('unread', `${user}: row ${index + 1} has the count ${row.unread}, a recount gives ${count}`)
  }
  for (const [index, row] of rows.entries()) {
    const { kind, id, ids = [] } = row
    if (kind === 'n' || kind === 'x') {
      const key = known.keyOf(id)
      if (key !== undefined) {
        leave(idByKey.get(key) ?? '')
        idByKey.set(key, id)
      }
      counted.set(id, 'unread')
      count += 1
      continue
    }
    if (kind === 's') for (const marked of ids) mark(marked, row.state as State)
    if (kind === 'a') for (const answered of ids) if (isUnread(answered)) mark(answered, 'read')
    if (kind === 'r') for (const retracted of ids) leave(retracted)
    if (row.unread !== undefined) compare(row, index)
  }
  for (const id of strangers) leave(id)
  if (unread !== count) breach('unread', `${user}: the store has ${unread}, a recount of the log gives ${count}`)
  for (const device of devices) {
    if (device.unread !== unread) breach('unread', `${user} ${device.device}: the device has ${device.unread}, the store ${unread}`)
  }
  for (const [id, state] of counted) {
    if ((states[id] ?? 'unread') !== state)
      breach('state', `${user}: ${id} is ${states[id] ?? 'unread'} in the store, and ${state} in the log`)
  }
}
