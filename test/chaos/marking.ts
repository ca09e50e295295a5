import type { World } from './world.ts'

/** Two thirds of the changes are superseded: more than `MAX_UNACKED` of a run. */
const MARKED_IDS = 24

/**
 * Changes the states of the newest notifications in a user's inbox, one id a call, as another device of the user would. In a replay the
 * superseded changes have no frame, so a device that was absent meets more rows without a frame than its send window has places.
 */
export async function markOneByOne({ caller }: World, door: () => number, user: string): Promise<void> {
  const path = `/v1/users/${user}/notifications`
  const { body } = await caller.call(door(), 'GET', `${path}?limit=${MARKED_IDS}`)
  const { items = [] } = (body ?? {}) as { items?: { id: string }[] }
  for (const state of ['seen', 'read', 'archived']) {
    await Promise.all(items.map(({ id }) => caller.call(door(), 'POST', `${path}/mark`, { ids: [id], state })))
  }
}
