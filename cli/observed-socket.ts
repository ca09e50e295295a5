import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { WebSocketConstructor } from '../packages/client/src/index.ts'
import { type ByeFrame, closeCodes, type HelloFrame, type ServerFrame } from '../services/protocol/index.ts'

interface SocketObserver {
  /** An attempt to connect begins. */
  opening(): void
  greeted(frame: HelloFrame): void
  /** The upgrade was answered with an HTTP status. */
  refused(status: number): void
  failed(message: string): void
}

/**
 * Returns a WebSocket class for the SDK that reports what the SDK cannot see: it is written for browsers, which hide the HTTP status of a
 * refused upgrade and the message of an error.
 */
export function observedWebSocket(observer: SocketObserver): WebSocketConstructor {
  return class extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, { perMessageDeflate: false })
      observer.opening()
      this.once('message', (data) => {
        const frame = JSON.parse(String(data)) as ServerFrame
        if (frame.type === 'hello') observer.greeted(frame)
      })
      this.on('unexpected-response', (_request, response: IncomingMessage) => {
        const { statusCode = 0, headers } = response
        observer.refused(statusCode)
        const seconds = Number(headers['retry-after'])
        if (seconds > 0) this.emit('message', JSON.stringify(byeAfter(seconds)), false)
        this.terminate()
      })
      this.on('error', (error: Error & { code?: string }) => observer.failed(error.message || `${error.code}`))
    }
  }
}

/** Returns `Retry-After` as the frame by which the service names a wait to an open connection. */
function byeAfter(seconds: number): ByeFrame {
  return { type: 'bye', ...closeCodes.overloaded, reconnectInMs: seconds * 1000 }
}
