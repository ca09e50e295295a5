import { Agent, request } from 'node:http'

export interface Answer {
  /** 0: no answer. */
  status: number
  body: unknown
}

/** An HTTP client for services on 127.0.0.1, with keep-alive. */
export class Caller {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #token: string

  constructor(token: string) {
    this.#token = token
  }

  /** Sends a request. Never rejects: without an answer within `timeoutMs` the status is 0. */
  call(
    port: number,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    timeoutMs = 4000
  ): Promise<Answer> {
    return new Promise((resolve) => {
      const text = body === undefined ? '' : JSON.stringify(body)
      const typed = text === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      const options = { host: '127.0.0.1', port, method, path, agent: this.#agent, signal: AbortSignal.timeout(timeoutMs) }
      const call = request({ ...options, headers: { authorization: `Bearer ${this.#token}`, ...typed, ...headers } }, (response) => {
        let received = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => {
          received += part
        })
        response.on('error', () => resolve({ status: 0, body: undefined }))
        response.on('end', () => resolve({ status: response.complete ? (response.statusCode ?? 0) : 0, body: parsed(received) }))
      })
      call.on('error', () => resolve({ status: 0, body: undefined }))
      call.end(text)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
