import type { OpenTransport } from './transport.ts'
import type { FetchLike, TransportName } from './types.ts'

/** Opens in a row that came to nothing. */
const ENOUGH = 2
/** How long event streams are used before a WebSocket is tried again, on the next reconnect. */
const TERM_MS = 300_000

/**
 * Opens WebSockets, and event streams when two of those in a row did not come about.
 *
 * @param told whenever a connection came about over another transport than the one before
 */
export function withFallback(
  webSocket: OpenTransport,
  fetch: FetchLike | undefined,
  now: () => number,
  told: (transport: TransportName) => void
): OpenTransport {
  let failed = 0
  let until = 0
  let last: TransportName | undefined
  return (to, listeners) => {
    if (failed >= ENOUGH && now() > until) failed = 0
    const stream = fetch && failed >= ENOUGH ? eventStream(fetch) : undefined
    let opened = false
    const missed = (): void => {
      if (opened) return
      opened = true
      failed = stream ? 0 : failed + 1
      until = now() + TERM_MS
    }
    const transport = (stream ?? webSocket)(to, {
      frame(frame) {
        if (frame.type === 'hello') {
          opened = true
          const name = stream ? 'sse' : 'websocket'
          if (!stream) failed = 0
          if (name !== last) told(name)
          last = name
        }
        listeners.frame(frame)
      },
      closed(code, reason) {
        // A code of the service's own came over a transport that works.
        if (code < 4000) missed()
        listeners.closed(code, reason)
      }
    })
    return {
      send: (frame) => transport.send(frame),
      close(code, reason) {
        if (code !== 1000) missed()
        transport.close(code, reason)
      }
    }
  }
}

/** Loaded when it is needed, which in most networks is never. */
function eventStream(fetch: FetchLike): OpenTransport {
  return (to, listeners) => {
    let close: (code: number, reason: string) => void = () => {}
    let send: ReturnType<OpenTransport>['send'] = () => {}
    let over = false
    import('./sse.ts').then(
      ({ eventStreamTransport }) => {
        if (!over) ({ send, close } = eventStreamTransport(fetch)(to, listeners))
      },
      () => over || listeners.closed(1006, '')
    )
    return {
      send: (frame) => send(frame),
      close(code, reason) {
        over = true
        close(code, reason)
      }
    }
  }
}
