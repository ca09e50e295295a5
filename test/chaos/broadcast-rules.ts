import type { Broadcast, DeviceJournal, UserLog } from './journal.ts'

type Report = (rule: 'member' | 'progress' | 'cancelled', text: string) => void

/** Checks the broadcasts of a run on a store that loses nothing: who got them, their counts, and that cancelled ones were recalled. */
export function checkBroadcasts(broadcasts: Broadcast[], logs: UserLog[], devices: DeviceJournal[], breach: Report): void {
  for (const broadcast of broadcasts) {
    if (broadcast.id === '') continue
    checkMembers(broadcast, logs, devices, breach)
    if (broadcast.isCancelled) checkCancelled(broadcast, logs, breach)
    else checkProgress(broadcast, breach)
  }
}

/** Checks that only members got it. The rules `stored` and `lost` check that every member did, and `idempotency` that they got it once. */
function checkMembers(
  { key, notificationId, members, others }: Broadcast,
  logs: UserLog[],
  devices: DeviceJournal[],
  breach: Report
): void {
  const allowed = new Set([...members, ...others])
  for (const { user, rows } of logs) {
    if (!allowed.has(user) && rows.some(({ kind, id }) => (kind === 'n' || kind === 'x') && id === notificationId))
      breach('member', `${user}: ${key} (${notificationId}) is in the log, but they were no member`)
  }
  for (const { user, device, events } of devices) {
    if (!allowed.has(user) && events.some((event) => event.type === 'shown' && event.id === notificationId))
      breach('member', `${user} ${device}: ${key} (${notificationId}) was shown, but they were no member`)
  }
}

function checkCancelled({ key, notificationId, isUncertain, end }: Broadcast, logs: UserLog[], breach: Report): void {
  if (isUncertain) return
  if (end?.status !== 'cancelled') breach('cancelled', `${key} was cancelled, but is ${end?.status ?? 'unknown'}`)
  for (const { user, rows } of logs) {
    if (rows.some(({ kind, id }) => kind === 'n' && id === notificationId))
      breach('cancelled', `${user}: ${key} was cancelled, but is in the log`)
  }
}

function checkProgress({ key, id, queue, members, others, end }: Broadcast, breach: Report): void {
  if (end === undefined || end.status !== 'done') return breach('progress', `${key} (${id}) is ${end?.status ?? 'unknown'} at the end`)
  const { accepted, parked, rejected } = end
  const settled = accepted + parked + rejected
  if (rejected > 0) breach('progress', `${key} (${id}): ${rejected} members were rejected`)
  if (settled !== end.members) breach('progress', `${key} (${id}): ${settled} members were counted of ${end.members}`)
  // Everyone includes users who only connected, of whom the run keeps no list.
  const most = queue === 'everyone' ? Number.POSITIVE_INFINITY : members.length + others.length
  if (settled < members.length || settled > most)
    breach('progress', `${key} (${id}) has the counts ${accepted}, ${parked} and ${rejected}, but ${members.length} members`)
}
