import type { ConnectionInfo } from './store.ts'

/**
 * Returns the connections whose place a newcomer takes over the connection limit: the oldest of its device, or undefined if there are too few.
 * The Redis driver does the same in `attach.lua`.
 *
 * @param own connections of the newcomer's node in the order they came, the newcomer among them; those after it keep their place
 * @param others connections of other nodes
 * @param over how many connections there are too many
 */
export function displacedBy(
  newcomer: string | undefined,
  own: readonly ConnectionInfo[],
  others: readonly ConnectionInfo[],
  over: number
): ConnectionInfo[] | undefined {
  if (over <= 0) return []
  const index = own.findIndex(({ connectionId }) => connectionId === newcomer)
  const candidates = index < 0 ? [] : [...others, ...own.slice(0, index)].filter(({ deviceId }) => deviceId === own[index]?.deviceId)
  if (candidates.length < over) return undefined
  return candidates.sort((a, b) => a.connectedAt - b.connectedAt).slice(0, over)
}
