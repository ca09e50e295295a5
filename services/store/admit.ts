import { isRevoked } from './revocation.ts'
import type { AttachCommand, ConnectionInfo } from './store.ts'

/** The answer to a connection that wants to be registered, and the connections that it displaces. */
export type Admission = { status: 'revoked' } | { status: 'limit' } | { status: 'admitted'; displaced: ConnectionInfo[] }

/**
 * Decides whether an attach may register its connections. The Redis driver does the same in `attach.lua`.
 *
 * A revoked token is refused first. If the user has more connections than allowed, the newcomer displaces the oldest of its device; connections
 * that came after it keep their place. If its device has too few, the newcomer is refused.
 *
 * @param others connections of the user on other nodes
 * @param revokedBefore time of the user's revocation, Unix milliseconds; 0: none
 * @param maxConnections 0: no limit
 */
export function admit(
  { connections, newcomer, issuedAt }: Pick<AttachCommand, 'connections' | 'newcomer' | 'issuedAt'>,
  others: readonly ConnectionInfo[],
  revokedBefore: number,
  maxConnections: number
): Admission {
  if (isRevoked(issuedAt, revokedBefore)) return { status: 'revoked' }
  const excess = maxConnections === 0 ? 0 : others.length + connections.length - maxConnections
  if (excess <= 0) return { status: 'admitted', displaced: [] }
  const index = connections.findIndex(({ connectionId }) => connectionId === newcomer)
  if (index < 0) return { status: 'limit' }
  const older = [...others, ...connections.slice(0, index)].filter(({ deviceId }) => deviceId === connections[index]?.deviceId)
  if (older.length < excess) return { status: 'limit' }
  return { status: 'admitted', displaced: older.sort((a, b) => a.connectedAt - b.connectedAt).slice(0, excess) }
}
