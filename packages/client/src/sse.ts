import type { Answer, ByeFrame, ClientFrame, ErrorFrame, OkFrame, ServerFrame } from '../../../services/protocol/index.ts'
import type { CallFrame, UserFrame } from './marks.ts'
import type { Platform } from './platform.ts'
import type { OpenTransport, Transport } from './transport.ts'
import type { FetchLike, FetchReply } from './types.ts'

/** The body of the answer to a call. */
interface Result extends Partial<Answer> {
  unread?: number
  code?: string
  detail?: string
  answer?: Answer
}

interface Decoder {
  decode(bytes: Uint8Array | undefined, options: { stream: boolean }): string
}

/** The close code of a stream that was lost, as browsers give it to a lost WebSocket. */
const LOST = 1006
const UNAUTHORIZED = 4001
const OVERLOADED = 4101
const RESUME = 4203

const ERROR_PREFIX = 'BELFRY_ERR_'

/** The first wait before a WebSocket is tried beside the stream. A random part of the same length is added; each wait is twice the last. */
const PROBE_MS = 5000
const PROBE_MAX_MS = 600_000
/** The longest time from the start of such an attempt to its `hello`. */
const PROBE_OPEN_MS = 15_000

/** The parts of a client that a call by REST needs. */
export interface RestCaller {
  readonly url: string
  readonly deviceId: string
  readonly fetch: FetchLike | undefined
}

/** Makes a call by REST. Resolves with the frame that answers it. Rejects if there is no answer. */
export async function callByRest({ url, deviceId, fetch }: RestCaller, token: string, call: CallFrame): Promise<OkFrame | ErrorFrame> {
  if (!fetch || !token || call.type === 'refresh') throw new TypeError('there is no fetch or no token here')
  const headers = { accept: 'application/json', authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const { ref, ...frame } = call
  const { type, ...mark } = frame
  const path = type === 'mark' ? 'mark' : `${encodeURIComponent(frame.id)}/actions/${encodeURIComponent(frame.action)}`
  const body = JSON.stringify(type === 'mark' ? mark : { deviceId })
  const reply = await fetch(`${url}/v1/me/notifications/${path}`, { method: 'POST', headers, body })
  const result = (await reply.json().catch(() => ({}))) as Result
  const to = ref === undefined ? {} : { ref }
  if (reply.ok) return { type: 'ok', ...to, ...result }
  const { code = 'BELFRY_CLIENT_HTTP', detail = `the service answered ${reply.status}`, answer } = result
  const temporary = reply.status === 429 || reply.status >= 500
  return { type: 'error', ...to, code, message: detail, temporary, ...(answer && { answer }) }
}

/**
 * Carries frames over `GET /v1/sse` (server-sent events, WHATWG HTML §9.2), for networks that break WebSockets. The service moves the cursor
 * by itself, marks and answers are sent by REST, and a new token needs a new stream.
 *
 * WebSockets may have failed because of a short outage of the service. Therefore a WebSocket is tried beside the stream, and replaces the
 * stream after its `hello`.
 *
 * @throws TypeError without `fetch`
 */
export function eventStreamTransport(fetch: FetchLike | undefined, platform: Platform, openWebSocket: OpenTransport): OpenTransport {
  if (fetch === undefined) throw new TypeError('there is no fetch here')
  return (to, listeners) => {
    const { base, token, deviceId, lastEventId } = to
    const authorization = `Bearer ${token}`
    let isOver = false
    let bye: ByeFrame | undefined
    let cancel = (): void => {}
    /** The newest event id passed on. */
    let position = lastEventId
    /** The WebSocket that is being tried. */
    let candidate: Transport | undefined
    /** The WebSocket that replaced the stream. */
    let socket: Transport | undefined
    let probeMs = PROBE_MS
    let timer: unknown

    const stop = (): void => {
      isOver = true
      platform.clearTimeout(timer)
      cancel()
    }
    const end = (code: number, reason: string): void => {
      if (isOver) return
      stop()
      candidate?.close(1000, '')
      listeners.closed(code, reason)
    }
    const receive = (frame: ServerFrame): void => {
      if (frame.type === 'bye') bye = frame
      else if (frame.type === 'hello') probeLater()
      else if ('eventId' in frame) position = frame.eventId || position
      if (!isOver) listeners.frame(frame)
    }

    const probeLater = (): void => {
      timer = platform.setTimeout(probe, probeMs * (1 + platform.random()))
      probeMs = Math.min(probeMs * 2, PROBE_MAX_MS)
    }
    const probe = (): void => {
      const failed = (): void => {
        platform.clearTimeout(timer)
        candidate?.close(1000, '')
        candidate = undefined
        if (!isOver) probeLater()
      }
      try {
        const opened = openWebSocket(
          { ...to, lastEventId: position },
          {
            frame(frame) {
              if (isOver || opened !== candidate) return
              if (!socket && frame.type === 'hello') {
                socket = candidate
                platform.clearTimeout(timer)
                cancel()
              }
              if (socket) listeners.frame(frame)
            },
            closed(code, reason) {
              if (opened !== candidate) return
              if (socket) end(code, reason)
              else failed()
            }
          }
        )
        candidate = opened
        timer = platform.setTimeout(failed, PROBE_OPEN_MS)
      } catch {
        probeLater()
      }
    }

    const open = async (): Promise<void> => {
      // Encoding does not change event ids. Other text from a storage must not break the header.
      const resume = lastEventId ? { 'last-event-id': encodeURIComponent(lastEventId) } : undefined
      const headers = { accept: 'text/event-stream', authorization, ...resume }
      const reply = await fetch(`${base}/v1/sse?device_id=${encodeURIComponent(deviceId)}`, { headers, cache: 'no-store' })
      if (!reply.ok) return refused(reply)
      const reader = reply.body?.getReader()
      if (!reader) return
      cancel = () => void reader.cancel().catch(() => {})
      if (isOver) return cancel()
      const { TextDecoder } = globalThis as unknown as { TextDecoder: new () => Decoder }
      const decoder = new TextDecoder()
      let text = ''
      while (!isOver && !socket) {
        const { done, value } = await reader.read()
        if (done || socket) return
        const events = (text + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/)
        text = events.pop() ?? ''
        for (const event of events) {
          const frame = parse(event)
          if (frame) receive(frame)
        }
      }
    }

    const refused = async (reply: FetchReply): Promise<void> => {
      const { code = '', detail = '' } = (await reply.json().catch(() => ({}))) as { code?: string; detail?: string }
      const reason = code.replace(ERROR_PREFIX, '').toLowerCase()
      if (reply.status === 401) end(UNAUTHORIZED, reason)
      const seconds = Number(reply.headers.get('retry-after'))
      if (reply.status < 500 && reply.status !== 429) return
      if (seconds > 0) receive({ type: 'bye', code: OVERLOADED, reason: detail, reconnectInMs: seconds * 1000 })
    }

    const call = async (frame: UserFrame): Promise<void> => receive(await callByRest({ url: base, deviceId, fetch }, token, frame))

    // The listeners must not be called before this function has returned.
    Promise.resolve()
      .then(open)
      .catch(() => {})
      .then(() => socket ?? end(bye?.code ?? LOST, bye?.reason ?? ''))

    return {
      get name() {
        return socket ? 'websocket' : 'sse'
      },
      send(frame: ClientFrame) {
        if (socket) return socket.send(frame)
        // A call that fails has no answer, and is sent again over the next connection.
        if (frame.type === 'mark' || frame.type === 'answer') call(frame).catch(() => {})
        else if (frame.type === 'refresh') {
          receive({ type: 'ok', ...(frame.ref === undefined ? {} : { ref: frame.ref }) })
          end(RESUME, 'a new token')
        }
      },
      close(code, reason) {
        stop()
        candidate?.close(code, reason)
      }
    }
  }
}

function parse(event: string): ServerFrame | undefined {
  const data = event.split(/\r?\n/).flatMap((line) => (line.startsWith('data:') ? [line.slice(5)] : []))
  try {
    return JSON.parse(data.join('\n')) as ServerFrame
  } catch {
    return undefined
  }
}
