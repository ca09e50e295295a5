import type { Socket } from 'node:net'

/** The fields that Node's idle timeout of a socket reads: bytes passed to the system, and those of them that the system has not taken. */
interface Handle {
  readonly bytesWritten?: unknown
  readonly writeQueueSize?: unknown
}

/**
 * Returns the bytes written to a socket that the system took. `writableLength` does not show them: it falls only when a whole write was taken,
 * and a replay is one write of up to a megabyte.
 */
export function bytesTakenBy(socket: Socket | null): number {
  if (socket === null) return 0
  const { bytesWritten, writeQueueSize } = (socket as { _handle?: Handle | null })._handle ?? {}
  if (typeof bytesWritten === 'number' && typeof writeQueueSize === 'number') return bytesWritten - writeQueueSize
  return (socket.bytesWritten ?? 0) - socket.writableLength
}
