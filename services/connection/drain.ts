import type { Registry } from './registry.ts'

/** Clients that are told to move return within this time, plus the time per connection, up to the maximum; milliseconds. */
const SPREAD_BASE_MS = 500
const SPREAD_PER_CONNECTION_MS = 4
const SPREAD_MAX_MS = 10_000

/** Closes every connection of the node with 4200. Clients reconnect after random delays, so that the other nodes are not flooded. */
export function drain(registry: Registry): void {
  const spreadMs = Math.min(SPREAD_MAX_MS, SPREAD_BASE_MS + registry.count * SPREAD_PER_CONNECTION_MS)
  for (const connection of registry.connections()) connection.close('draining', undefined, Math.round(Math.random() * spreadMs))
}
