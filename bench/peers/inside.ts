import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import v8 from 'node:v8'

// Loaded into every process that is measured (`--import`): answers its parent's questions about it, and costs nothing until then.

const SETTLE_MS = 1500

interface Counted {
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
    incomingMessages: port === 0 ? (v8 as unknown as Counted).queryObjects(IncomingMessage, { format: 'count' }) : 0
  })
}

if (process.send !== undefined) {
  process.on('message', (question) => void answer(question as { port: number }))
  process.channel?.unref()
}
