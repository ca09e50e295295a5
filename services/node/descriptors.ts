/** Largest part of the descriptors that is kept for other things than sockets of callers, and their largest number. */
const RESERVED_PART = 0.25
/** LevelDB opens up to 1,000 files; the rest is for Redis, the key set and the log. */
const RESERVED_MAX = 1500
/** Callers of the REST API that have a socket beside the connections, as a part of these. */
const CALLERS_PART = 0.125

/** How many sockets a process may have. */
export interface SocketLimits {
  /** WebSocket and event stream connections. */
  connections: number
  /** TCP connections of any kind; the server drops those beyond. */
  sockets: number
}

/** Returns the number of file descriptors this process may have; Infinity where the system names no limit. */
export function descriptorLimit(): number {
  if (process.report === undefined) return Number.POSITIVE_INFINITY
  // Else the report resolves the names of peers, which may take seconds.
  Object.assign(process.report, { excludeNetwork: true })
  const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const soft = Number(userLimits?.open_files?.soft)
  return Number.isFinite(soft) && soft > 0 ? soft : Number.POSITIVE_INFINITY
}

/**
 * Divides the descriptors of a process, so that a flood of connections cannot take those of the store.
 *
 * @param descriptors as of {@link descriptorLimit}
 * @param configured connections the operator allows; 0: as many as the descriptors allow
 */
export function socketLimits(descriptors: number, configured: number): SocketLimits {
  const free = descriptors - Math.min(RESERVED_MAX, Math.floor(descriptors * RESERVED_PART))
  const possible = Number.isFinite(free) ? Math.max(1, Math.floor(free * (1 - CALLERS_PART))) : Number.MAX_SAFE_INTEGER
  return { connections: configured === 0 ? possible : configured, sockets: Number.isFinite(free) ? free : Number.MAX_SAFE_INTEGER }
}
