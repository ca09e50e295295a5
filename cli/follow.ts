import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { type ServerFrame, SUBPROTOCOL } from '../services/protocol/index.ts'

/** Acknowledgements are cumulative: one for all that came in this time, which stays far below the limit on frames, milliseconds. */
const ACK_DELAY_MS = 50

/** How long a connection may take to be greeted, and the silence allowed beyond the server's own heartbeat, milliseconds. */
const GREETING_MS = 30_000
const SLACK_MS = 5000

/** How a connection ended. */
export interface Ending {
  /** Whether it had got its hello. */
  greeted: boolean
  /** Close code; 1006 when there was none. */
  code: number
  /** HTTP status of an upgrade that was refused. */
  status?: number
  /** In words, for a person. */
  reason: string
  /** What `bye` asked for, milliseconds; 0 without one. */
  reconnectInMs: number
  /** What `Retry-After` asked for, milliseconds; 0 without one. */
  retryAfterMs: number
}

/**
 * One connection, from its start to its end. A silent one is given up.
 *
 * @param acks acknowledges what came; for devices whose cursor does not move by itself
 * @param signal closes it
 */
export function follow(
  url: string,
  token: string,
  acks: boolean,
  onFrame: (frame: ServerFrame) => void,
  signal: AbortSignal
): Promise<Ending> {
  const socket = new WebSocket(url, [SUBPROTOCOL], { headers: { authorization: `Bearer ${token}` }, perMessageDeflate: false })
  const ending: Ending = { greeted: false, code: 1006, reason: 'the connection broke', reconnectInMs: 0, retryAfterMs: 0 }
  let silenceMs = GREETING_MS
  let silence = setTimeout(giveUp, silenceMs)
  let unacked = ''
  let ackTimer: NodeJS.Timeout | undefined

  function giveUp(): void {
    ending.reason = 'the service fell silent'
    socket.terminate()
  }

  function sendAck(): void {
    ackTimer = undefined
    if (unacked !== '' && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'ack', eventId: unacked }))
    unacked = ''
  }

  function onAbort(): void {
    sendAck()
    socket.close(1000)
  }

  return new Promise((resolve) => {
    socket.on('message', (data) => {
      clearTimeout(silence)
      const frame = JSON.parse(String(data)) as ServerFrame
      if (frame.type === 'hello') {
        ending.greeted = true
        silenceMs = frame.heartbeat.intervalMs + frame.heartbeat.timeoutMs + SLACK_MS
      } else if (frame.type === 'bye') ending.reconnectInMs = frame.reconnectInMs
      silence = setTimeout(giveUp, silenceMs)
      onFrame(frame)
      if (acks && 'eventId' in frame) {
        unacked = frame.eventId
        ackTimer ??= setTimeout(sendAck, ACK_DELAY_MS)
      }
    })
    socket.on('unexpected-response', (_request, response: IncomingMessage) => {
      const { statusCode = 0, headers } = response
      ending.status = statusCode
      ending.reason = `the service refused the connection with ${statusCode}`
      ending.retryAfterMs = (Number(headers['retry-after']) || 0) * 1000
      socket.terminate()
    })
    socket.on('error', (error: Error & { code?: string }) => {
      if (ending.status === undefined && ending.reason === 'the connection broke') ending.reason = error.message || `${error.code}`
    })
    socket.on('close', (code, reason) => {
      clearTimeout(silence)
      clearTimeout(ackTimer)
      signal.removeEventListener('abort', onAbort)
      ending.code = code
      if (code !== 1006) ending.reason = `closed with ${code}${reason.length > 0 ? ` ${reason}` : ''}`
      resolve(ending)
    })
    signal.addEventListener('abort', onAbort)
  })
}
