import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import {
  answeredIn,
  digestIn,
  notificationIn,
  retractionIn,
  rowId,
  rowId8,
  rowKind,
  rowTime,
  stateChangeIn
} from '../../services/store/row.ts'
import type { Store } from '../../services/store/store.ts'
import type { Ghost, LogRow, UserLog } from './journal.ts'
import { shownOptions } from './shown-list.ts'
import { RATE_LIMIT, RATE_WINDOW_MS, type World } from './world.ts'

/** Longest time for which a connection may stay in the registry after its end, milliseconds. */
const GHOST_MS = 35_000
/** Time in which the most notifications that can be parked for a user are released, milliseconds. */
const DRAIN_MAX_MS = (1000 * RATE_WINDOW_MS) / RATE_LIMIT

/** A client that reports its position in the log. */
export interface Placed {
  user: string
  device: string
  place(): { lastEventId: string; isConnected: boolean }
}

/**
 * Waits until the run is at rest: every node is ready, nothing is parked, and every device is connected and at the end of its log. Returns
 * descriptions of what is not at rest at the deadline.
 *
 * @param ms time limit, in addition to the time in which parked notifications are released at a user's rate
 */
export async function rest(world: World, devices: Placed[], users: string[], ms: number): Promise<string[]> {
  const begun = Date.now()
  let drainMs = 0
  for (;;) {
    const { unrest, parked } = await unrestOf(world, devices, users)
    const now = Date.now()
    drainMs ||= Math.min((parked * RATE_WINDOW_MS) / RATE_LIMIT, DRAIN_MAX_MS)
    if (unrest.length === 0 || now > begun + ms + drainMs) return unrest
    await pause(150)
  }
}

/** Returns the parts that are not at rest, in words, and the largest number of parked notifications of one user. */
async function unrestOf(world: World, devices: Placed[], users: string[]): Promise<{ unrest: string[]; parked: number }> {
  let most = 0
  const reasons = await Promise.all(world.nodes.map((node) => node.unready()))
  const unready = reasons.flatMap((reason, index) => (reason === '' ? [] : [`node ${index} is not ready: ${reason}`]))
  if (unready.length > 0) return { unrest: unready, parked: 0 }
  const port = world.nodes[0]?.port ?? 0
  const unrest: string[] = []
  await Promise.all(
    users.map(async (user) => {
      const { status, body } = await world.caller.call(port, 'GET', `/v1/users/${user}/queue`)
      const { head = '', parked = 0, scheduled = 0 } = (body ?? {}) as { head?: string; parked?: number; scheduled?: number }
      if (status !== 200) unrest.push(`${user}: the queue answers ${status}`)
      if (parked + scheduled > 0) unrest.push(`${user}: ${parked} parked, ${scheduled} scheduled`)
      most = Math.max(most, parked)
      for (const device of devices) {
        if (device.user !== user) continue
        const { lastEventId, isConnected } = device.place()
        const isAtEnd = placeOf(lastEventId) === placeOf(head)
        // The position of a device that has never been connected is equal to that of an empty log.
        if (!isConnected) unrest.push(`${user} ${device.device}: not connected, at ${lastEventId}, the log at ${head}`)
        else if (!isAtEnd) unrest.push(`${user} ${device.device}: at ${lastEventId}, the log at ${head}`)
      }
    })
  )
  return { unrest, parked: most }
}

function placeOf(eventId: string): string {
  return eventId.split('.').slice(0, 2).join('.')
}

/** Returns the entries that are still in the registry 35 s after the last connection; earlier if there are none. Empty unless `patient`. */
export async function ghosts(world: World, users: string[], patient: boolean): Promise<Ghost[]> {
  if (!patient) return []
  const deadline = Date.now() + GHOST_MS
  for (;;) {
    const found = (await Promise.all(users.map((user) => ghostsOf(world, user)))).flat()
    if (found.length === 0 || Date.now() > deadline) return found
    await pause(1000)
  }
}

async function ghostsOf(world: World, user: string): Promise<Ghost[]> {
  const port = world.nodes[0]?.port ?? 0
  const listed = await world.caller.call(port, 'GET', `/v1/users/${user}/connections`)
  const { items = [] } = (listed.body ?? {}) as { items?: { connectionId: string; node: string }[] }
  if (listed.status !== 200) return [{ user, what: `connections cannot be listed: ${listed.status}` }]
  if (items.length > 0) return items.map(({ connectionId, node }) => ({ user, what: `connection ${connectionId} at node ${node}` }))
  if (world.store === 'embedded') return []
  const probe = await world.caller.call(port, 'POST', '/v1/notifications', { to: user, type: 'probe', title: 'Is anybody there?' })
  const [result] = ((probe.body ?? {}) as { results?: { nodes: number }[] }).results ?? []
  if (result === undefined) return [{ user, what: `a probe was answered ${probe.status}` }]
  return result.nodes === 0 ? [] : [{ user, what: `${result.nodes} nodes were woken for nobody` }]
}

/** Reads the logs with a store of this process. The embedded store must not be open elsewhere. */
export async function readLogs(world: World, users: string[]): Promise<UserLog[]> {
  const store = storeOf(world)
  await store.open('chaos-checker', { wake() {}, kick() {}, suspect() {}, status() {} })
  try {
    const logs: UserLog[] = []
    for (const user of users) logs.push(await readLog(store, user))
    return logs
  } finally {
    await store.close()
  }
}

function storeOf({ store, folder, settings, redis, cluster }: World): Store {
  if (store === 'embedded') return new EmbeddedStore({ folder: join(folder, 'store'), settings })
  const where = redis === undefined ? { clusterNodes: cluster?.nodes ?? [] } : { url: redis.url }
  return new RedisStore(settings, { ...where, keyPrefix: 'belfry', waitReplicas: 0 })
}

async function readLog(store: Store, user: string): Promise<UserLog> {
  const { head, first, parked, scheduled, unread, unseen } = await store.queue(user)
  const floor = first.offset === 0 ? head.offset : first.offset - 1
  const position = { epoch: head.epoch, offset: floor, id8: '' }
  const backlog = await store.read({ user, position, seen: undefined, limit: 1_000_000 })
  const { rows, states, answers } = backlog
  return {
    user,
    epoch: head.epoch,
    top: head.offset,
    floor,
    parked,
    scheduled,
    unread,
    unseen,
    rows: rows.map(logRow),
    states: Object.fromEntries(states),
    answers: Object.fromEntries(answers)
  }
}

function logRow(row: Buffer): LogRow {
  const common = { kind: rowKind(row), at: rowTime(row), id: rowId(row), tag: rowId8(row) }
  switch (common.kind) {
    case 's': {
      const { ids, state, unread, unseen } = stateChangeIn(row)
      return { ...common, ids, state, unread, unseen }
    }
    case 'r': {
      const { id, unread, unseen, reason } = retractionIn(row)
      return { ...common, ids: [id], unread, unseen, reason }
    }
    case 'a': {
      const { id, unread, unseen, action, answeredAt, deviceId } = answeredIn(row)
      return { ...common, ids: [id], unread, unseen, options: { answer: { action, answeredAt, deviceId } } }
    }
    case 'n': {
      const notification = notificationIn(row)
      const options = shownOptions(notification)
      return { ...common, title: notification.title, ...(Object.keys(options).length > 0 && { options }) }
    }
    case 'd': {
      const { ids, unread, unseen } = digestIn(row)
      return { ...common, ids, unread, unseen }
    }
    default:
      return common
  }
}
