import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import v8 from 'node:v8'

// Loaded into every measured process with `--import`. On a request of the parent process, it reports the memory and sockets of its process; until
// then it does nothing.

/** Time after garbage collection in which resident memory settles. */
const SETTLE_MS = 1500

interface ObjectCounter {
  queryObjects(kind: unknown, options: { format: 'count' }): number
}

async function answer({ port }: { port: number }): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    globalThis.gc?.()
    await sleep(port === 0 ? SETTLE_MS / 2 : 0)
  }
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles()
  const sockets = handles.filter((handle): handle is Socket => handle instanceof Socket && port !== 0 && handle.remotePort === port)
  const { rss, heapUsed } = process.memoryUsage()
  process.send?.({
    rss,
    heapUsed,
    bytesRead: sockets.reduce((sum, socket) => sum + socket.bytesRead, 0),
    incomingMessages: port === 0 ? (v8 as unknown as ObjectCounter).queryObjects(IncomingMessage, { format: 'count' }) : 0
  })
}

if (process.send !== undefined) {
  process.on('message', (request) => void answer(request as { port: number }))
  process.channel?.unref()
}
