/** Largest part of the descriptors that is reserved for files and sockets of the node itself. */
const RESERVED_PART = 0.25
/** Largest number of reserved descriptors: LevelDB opens up to 1,000 files, the rest is for Redis, the key set and the log. */
const RESERVED_MAX = 1500
/** Part of the sockets that is left to callers of the REST API. */
const CALLERS_PART = 0.125

/** Limits of the sockets of a process. */
interface SocketLimits {
  /** WebSocket and event stream connections. */
  connections: number
  /** TCP connections of any kind; the server drops further ones. */
  sockets: number
}

/** Returns the number of file descriptors this process may have; Infinity where the system names no limit. */
export function descriptorLimit(): number {
  if (process.report === undefined) return Number.POSITIVE_INFINITY
  // Without this, the report resolves the names of peers, which may take seconds.
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
