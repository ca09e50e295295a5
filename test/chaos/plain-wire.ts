import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { WebSocket } from 'ws'
import type { ServerFrame } from '../../services/protocol/index.ts'

const HANDSHAKE_TIMEOUT_MS = 8000
/** Time limit for the service to end a connection that the client closed, milliseconds. */
const CLOSE_TIMEOUT_MS = 12_000

interface WireEvents {
  open(): void
  frame(frame: ServerFrame): void
  /** @param code the close code of a WebSocket; 1000 for a stream that ended without an error; 0 for none */
  end(code: number): void
}

/** One connection of a client without the SDK to a node: a WebSocket or an event stream. */
export interface Wire {
  send(frame: unknown): void
  pause(): void
  resume(): void
  /** Closes the connection, and reads on until the service ends it. */
  close(): void
  /**
   * Resets the TCP connection. Returns the number of bytes that were on their way to the client, or undefined if the system does not
   * tell.
   */
  reset(): number | undefined
}

export interface WireTarget {
  port: number
  token: string
  /** Query parameters other than the token. */
  query: Record<string, string>
}

export function openWebSocket({ port, token, query }: WireTarget, events: WireEvents): Wire {
  const url = `ws://127.0.0.1:${port}/v1/ws?${new URLSearchParams(query)}`
  // `closeTimeout` is missing from the types.
  const options = { handshakeTimeout: HANDSHAKE_TIMEOUT_MS, perMessageDeflate: false, closeTimeout: CLOSE_TIMEOUT_MS }
  const webSocket = new WebSocket(url, ['belfry.v1', `bearer.${token}`], options)
  let socket: Socket | undefined
  webSocket.on('upgrade', (response) => {
    socket = response.socket
  })
  webSocket.on('open', () => events.open())
  webSocket.on('error', () => undefined)
  webSocket.on('message', (data) => events.frame(JSON.parse(String(data)) as ServerFrame))
  webSocket.on('close', (code) => events.end(code))
  return {
    send: (frame) => {
      if (webSocket.readyState === WebSocket.OPEN) webSocket.send(JSON.stringify(frame), () => undefined)
    },
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
    close: () => webSocket.close(1000),
    reset: () => {
      if (socket !== undefined) return resetSocket(socket)
      webSocket.terminate()
      return 0
    }
  }
}

/** Opens an event stream and parses it like an `EventSource`. The chunked framing is between the blocks, so that it needs no parsing. */
export function openStream({ port, token, query }: WireTarget, events: WireEvents): Wire {
  const socket = connect({ port, host: '127.0.0.1' })
  const lines = [
    `GET /v1/sse?${new URLSearchParams(query)} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Accept: text/event-stream',
    `Authorization: Bearer ${token}`
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  let isOpen = false
  let failed = false
  let text = ''
  const late = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS)
  socket.setEncoding('utf8')
  socket.on('error', () => {
    failed = true
  })
  socket.on('close', () => {
    clearTimeout(late)
    events.end(failed || !isOpen ? 0 : 1000)
  })
  socket.on('data', (part: string) => {
    text += part
    if (!isOpen) {
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      clearTimeout(late)
      if (!text.startsWith('HTTP/1.1 200 ')) return void socket.destroy()
      isOpen = true
      text = text.slice(end)
      events.open()
    }
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = /^data: ?(.*)$/m.exec(block)?.[1]
      if (data !== undefined) events.frame(JSON.parse(data) as ServerFrame)
    }
  })
  return {
    send: () => undefined,
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => socket.end(),
    reset: () => resetSocket(socket)
  }
}

function resetSocket(socket: Socket): number | undefined {
  const bytes = inFlight(socket)
  const buffered = socket.readableLength
  socket.resetAndDestroy()
  return bytes === undefined ? undefined : bytes + buffered
}

/**
 * Returns the bytes in the system's buffers of a connection between two sockets of this machine: the receive queue of this socket, and the
 * send queue of the other one. Undefined if the system does not tell.
 */
function inFlight({ localPort = 0, remotePort = 0 }: Socket): number | undefined {
  const port = (number: number): string => number.toString(16).toUpperCase().padStart(4, '0')
  let table: string
  try {
    table = readFileSync('/proc/net/tcp', 'utf8')
  } catch {
    return undefined
  }
  const queues = (from: number, to: number): [sent: number, received: number] => {
    const line = new RegExp(`: \\w+:${port(from)} \\w+:${port(to)} \\w\\w (\\w+):(\\w+)`).exec(table)
    return [Number.parseInt(line?.[1] ?? '0', 16), Number.parseInt(line?.[2] ?? '0', 16)]
  }
  return queues(remotePort, localPort)[0] + queues(localPort, remotePort)[1]
}
