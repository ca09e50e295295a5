import type { State } from '../../services/protocol/index.ts'
import { countsAsUnread } from '../../services/store/state.ts'
import type { DeviceJournal, LogRow, UserLog } from './journal.ts'
import type { KnownOptions } from './known-options.ts'

/**
 * Compares the counts of rows and devices, unread and unseen, with a recount. The rows' counts are compared only in a whole log: after trimming, or
 * after superseded changes were emptied, the history is not known. The devices' counts are compared only if the store lost nothing,
 * because devices are not told of the loss, and if no notification reached its age while the counts were read.
 *
 * A row that was replaced is emptied, and no row tells so. It leaves the count where the next one of its collapse key is.
 */
export function checkCounts(
  { user, rows, floor, unread, unseen, states }: UserLog,
  known: KnownOptions,
  devices: DeviceJournal[],
  breach: (rule: 'unread' | 'unseen' | 'state', text: string) => void
): void {
  const counted = new Map<string, State>()
  const idByKey = new Map<string, string>()
  const recount = { unread: 0, unseen: 0 }
  const isUnread = (id: string): boolean => counted.has(id) && countsAsUnread(counted.get(id))
  const add = (state: State | undefined, by: 1 | -1): void => {
    if (state === 'unread' || state === 'seen') recount.unread += by
    if (state === 'unread') recount.unseen += by
  }
  const leave = (id: string): void => {
    add(counted.get(id), -1)
    counted.delete(id)
  }
  const mark = (id: string, state: State): void => {
    if (!counted.has(id)) return
    add(counted.get(id), -1)
    counted.set(id, state)
    add(state, 1)
  }
  // The collapse key of a notification is not known if no publisher and no device knows it.
  const strangers = rows.filter(({ kind, id }) => kind === 'x' && !known.ids.has(id)).map(({ id }) => id)
  const isWhole = floor === 0 && strangers.length === 0 && !rows.some(({ kind }) => kind === '-')
  const compare = (row: LogRow, index: number): void => {
    for (const rule of ['unread', 'unseen'] as const) {
      if (isWhole && row[rule] !== undefined && row[rule] !== recount[rule])
        breach(rule, `${user}: row ${index + 1} has ${row[rule]} ${rule}, a recount gives ${recount[rule]}`)
    }
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
      add('unread', 1)
      continue
    }
    if (kind === 's') for (const marked of ids) mark(marked, row.state as State)
    if (kind === 'a') for (const answered of ids) if (isUnread(answered)) mark(answered, 'read')
    if (kind === 'r') for (const retracted of ids) leave(retracted)
    compare(row, index)
  }
  for (const id of strangers) leave(id)
  // A stranger can have replaced a notification of its key, and left.
  const emptied = strangers.length === 0 ? [] : rows.filter(({ kind, id }) => kind === 'x' && known.keyOf(id) !== undefined)
  for (const { id } of emptied) leave(id)
  const stored = { unread, unseen }
  for (const rule of ['unread', 'unseen'] as const) {
    if (stored[rule] !== recount[rule])
      breach(rule, `${user}: the store has ${stored[rule]} ${rule}, a recount of the log gives ${recount[rule]}`)
    for (const { device, [rule]: told } of devices) {
      if (told !== undefined && told !== stored[rule])
        breach(rule, `${user} ${device}: the device has ${told} ${rule}, the store ${stored[rule]}`)
    }
  }
  for (const [id, state] of counted) {
    if ((states[id] ?? 'unread') !== state)
      breach('state', `${user}: ${id} is ${states[id] ?? 'unread'} in the store, and ${state} in the log`)
  }
}
