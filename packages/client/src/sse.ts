import type { ByeFrame, ClientFrame, MarkFrame, ServerFrame } from '../../../services/protocol/index.ts'
import type { OpenTransport } from './transport.ts'
import type { FetchLike, FetchReply } from './types.ts'

interface Decoder {
  decode(bytes: Uint8Array | undefined, options: { stream: boolean }): string
}

/** What a lost stream closes with; the code a browser gives a WebSocket then. */
const LOST = 1006
const UNAUTHORIZED = 4001
const OVERLOADED = 4101
const RESUME = 4203

const ERROR_PREFIX = 'BELFRY_ERR_'

/**
 * Frames by `GET /v1/sse` (server-sent events, WHATWG HTML §9.2), for networks that break WebSockets. The service moves the cursor by itself,
 * marks go by REST, and a new token takes a new stream.
 *
 * @throws TypeError without `fetch`
 */
export function eventStreamTransport(fetch: FetchLike | undefined): OpenTransport {
  if (fetch === undefined) throw new TypeError('there is no fetch here')
  return ({ base, token, deviceId, lastEventId }, listeners) => {
    const authorization = `Bearer ${token}`
    let over = false
    let bye: ByeFrame | undefined
    let cancel = (): void => {}

    const end = (code: number, reason: string): void => {
      if (over) return
      over = true
      cancel()
      listeners.closed(code, reason)
    }
    const receive = (frame: ServerFrame): void => {
      if (frame.type === 'bye') bye = frame
      if (!over) listeners.frame(frame)
    }

    const open = async (): Promise<void> => {
      const resume = lastEventId ? { 'last-event-id': lastEventId } : undefined
      const headers = { accept: 'text/event-stream', authorization, ...resume }
      const reply = await fetch(`${base}/v1/sse?device_id=${encodeURIComponent(deviceId)}`, { headers, cache: 'no-store' })
      if (!reply.ok) return refused(reply)
      const reader = reply.body?.getReader()
      if (!reader) return
      cancel = () => void reader.cancel().catch(() => {})
      if (over) return cancel()
      const { TextDecoder } = globalThis as unknown as { TextDecoder: new () => Decoder }
      const decoder = new TextDecoder()
      let text = ''
      while (!over) {
        const { done, value } = await reader.read()
        if (done) return
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

    const mark = async ({ ref, ids, upTo, state, ageMs }: MarkFrame): Promise<void> => {
      const headers = { accept: 'application/json', authorization, 'content-type': 'application/json' }
      const body = JSON.stringify({ ids, upTo, state, ageMs })
      const reply = await fetch(`${base}/v1/me/notifications/mark`, { method: 'POST', headers, body })
      const answer = (await reply.json().catch(() => ({}))) as { unread?: number; code?: string; detail?: string }
      const to = ref === undefined ? {} : { ref }
      if (reply.ok) return receive({ type: 'ok', ...to, ...(answer.unread === undefined ? {} : { unread: answer.unread }) })
      const { code = 'BELFRY_CLIENT_HTTP', detail = `the service answered ${reply.status}` } = answer
      receive({ type: 'error', ...to, code, message: detail, temporary: reply.status === 429 || reply.status >= 500 })
    }

    // Nobody may be called before this has returned.
    Promise.resolve()
      .then(open)
      .catch(() => {})
      .then(() => end(bye?.code ?? LOST, bye?.reason ?? ''))

    return {
      send(frame: ClientFrame) {
        // A mark that gets no answer is sent again over the next connection.
        if (frame.type === 'mark') mark(frame).catch(() => {})
        else if (frame.type === 'refresh') {
          receive({ type: 'ok', ...(frame.ref === undefined ? {} : { ref: frame.ref }) })
          end(RESUME, 'a new token')
        }
      },
      close() {
        over = true
        cancel()
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
