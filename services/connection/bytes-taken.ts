import type { Socket } from 'node:net'

/** What Node's own idle timeout of a socket looks at: the bytes given to the system, and those of them it did not take yet. */
interface Handle {
  readonly bytesWritten?: unknown
  readonly writeQueueSize?: unknown
}

/**
 * Bytes the system took of what was written to a socket. Its `writableLength` does not tell: it falls when a whole write was taken, and a
 * replay is one write of up to a megabyte.
 */
export function bytesTakenBy(socket: Socket | null): number {
  if (socket === null) return 0
  const { bytesWritten, writeQueueSize } = (socket as { _handle?: Handle | null })._handle ?? {}
  if (typeof bytesWritten === 'number' && typeof writeQueueSize === 'number') return bytesWritten - writeQueueSize
  return (socket.bytesWritten ?? 0) - socket.writableLength
}
