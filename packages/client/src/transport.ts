import { BEARER_PREFIX, type ClientFrame, type ServerFrame, SUBPROTOCOL } from '../../../services/protocol/index.ts'
import { attempt } from './attempt.ts'
import type { TransportName, WebSocketConstructor } from './types.ts'

/** The address, device and place in the log of a transport. `base` is http(s), without a slash at its end; `lastEventId` is '' for no place. */
export interface Destination {
  base: string
  token: string
  deviceId: string
  lastEventId: string
}

export interface TransportListeners {
  frame(frame: ServerFrame): void
  /** Called once. Calls after it, or after `close()`, are ignored. */
  closed(code: number, reason: string): void
}

/** Carries frames to and from the service. */
export interface Transport {
  /** The name that the SDK tells of when `hello` comes. */
  readonly name: TransportName
  send(frame: ClientFrame): void
  close(code: number, reason: string): void
}

/** Starts to connect, throws when that is impossible. Listeners are not called before it has returned. */
export type OpenTransport = (to: Destination, listeners: TransportListeners) => Transport

export function webSocketTransport(WebSocket: WebSocketConstructor): OpenTransport {
  return ({ base, token, deviceId, lastEventId }, listeners) => {
    const resume = lastEventId && `&last_event_id=${encodeURIComponent(lastEventId)}`
    const url = `${base.replace(/^http/, 'ws')}/v1/ws?device_id=${encodeURIComponent(deviceId)}${resume}`
    // The token goes where no proxy logs it.
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
