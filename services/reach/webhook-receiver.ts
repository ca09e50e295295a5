import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { webhookRefusal } from './standard-webhooks.ts'

/** Largest body, bytes. Those of Belfry have some 20 KB. */
const MAX_BODY_BYTES = 1_048_576

/** One request that a receiver got. */
export interface ReceivedCall {
  request: IncomingMessage
  /** '' if it was too large. */
  body: string
  /** Why it must not be trusted; undefined if a key in use has signed it. */
  refusal: string | undefined
}

interface ReceiverOptions {
  /** 0: a free port. */
  port: number
  /** The keys of the secrets in use. */
  keys: Buffer[]
  /** Returns the status of the answer to a call. */
  answer: (call: ReceivedCall) => number
}

/** A receiver of webhooks. It listens on 127.0.0.1, and verifies each call as any receiver does. */
export class WebhookReceiver {
  readonly url: string
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  }

  /** Rejects with the error of Node if the port is in use. */
  static async start({ port, keys, answer }: ReceiverOptions): Promise<WebhookReceiver> {
    const server = createServer(async (request, response) => {
      const body = await textOf(request).catch(() => undefined)
      // The caller broke off.
      if (!request.complete) return
      const refusal = body === undefined ? 'the body is too large' : webhookRefusal(keys, request.headers, body, Date.now())
      response.writeHead(answer({ request, body: body ?? '', refusal })).end()
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return new WebhookReceiver(server)
  }

  /** Closes the receiver and all its connections. */
  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

/** Resolves with the body, or with undefined if it is too large. */
async function textOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  return size > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks).toString()
}
