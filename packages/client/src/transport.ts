import { BEARER_PREFIX, type ClientFrame, type ServerFrame, SUBPROTOCOL } from '../../../services/protocol/index.ts'
import { attempt } from './attempt.ts'
import type { TransportName, WebSocketConstructor } from './types.ts'

/** The parameters of one connection. `base` is the service's http(s) address without a slash at the end; `lastEventId` is '' for no position. */
interface Destination {
  base: string
  token: string
  deviceId: string
  lastEventId: string
}

interface TransportListeners {
  frame(frame: ServerFrame): void
  /** Called once. The SDK ignores later calls, and calls after `close()`. */
  closed(code: number, reason: string): void
}

/** Carries frames to and from the service. */
export interface Transport {
  /** The SDK passes it on when `hello` comes. */
  readonly name: TransportName
  send(frame: ClientFrame): void
  close(code: number, reason: string): void
}

/** Starts to connect; throws if that is impossible. Does not call the listeners before it has returned. */
export type OpenTransport = (to: Destination, listeners: TransportListeners) => Transport

export function webSocketTransport(WebSocket: WebSocketConstructor): OpenTransport {
  return ({ base, token, deviceId, lastEventId }, listeners) => {
    const resume = lastEventId && `&last_event_id=${encodeURIComponent(lastEventId)}`
    const url = `${base.replace(/^http/, 'ws')}/v1/ws?device_id=${encodeURIComponent(deviceId)}${resume}`
    // Proxies log URLs, not subprotocols.
    const socket = new WebSocket(url, [SUBPROTOCOL, BEARER_PREFIX + token])
    socket.addEventListener('message', ({ data }) => {
      const frame = attempt<ServerFrame>(() => JSON.parse(String(data)))
      if (frame) listeners.frame(frame)
    })
    socket.addEventListener('error', () => {})
    socket.addEventListener('close', ({ code, reason }) => listeners.closed(code, reason))
    return {
      name: 'websocket',
      send: (frame) => socket.send(JSON.stringify(frame)),
      close: (code, reason) => socket.close(code, reason)
    }
  }
}
