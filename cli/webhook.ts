import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { webhookKey, webhookRefusal } from '../services/reach/standard-webhooks.ts'
import type { WebhookCommand } from './arguments.ts'
import { CommandError } from './credentials.ts'
import { type Output, printable } from './output.ts'

const SECRET_BYTES = 32
/** Largest body, bytes. Those of Belfry have some 20 KB. */
const MAX_BODY_BYTES = 1_048_576

interface Event {
  type: string
  timestamp: string
  data: unknown
}

/**
 * Receives webhooks on this machine, verifies them, and prints them, until the signal is aborted.
 *
 * @param configured `WEBHOOK_SECRET`: one secret, two with a comma between them, or ''
 * @throws CommandError if a secret is not one, or the port is in use
 */
export async function receiveWebhooks(command: WebhookCommand, configured: string, output: Output, signal: AbortSignal): Promise<void> {
  const known = command.secret ?? configured
  const secret = known === '' ? `whsec_${randomBytes(SECRET_BYTES).toString('base64')}` : known
  const keys = secret.split(',').map((entry) => webhookKey(entry.trim()))
  if (!keys.every((key) => key !== undefined)) throw new CommandError('the secret must be whsec_ and 24 to 64 bytes in base64')

  const server = createServer(async (request, response) => {
    const body = await textOf(request)
    const refusal = body === undefined ? 'the body is too large' : webhookRefusal(keys, request.headers, body, Date.now())
    response.writeHead(refusal === undefined ? 204 : 401).end()
    if (refusal === undefined) print(String(request.headers['webhook-id']), body as string, output)
    else output.error(`${request.method} ${printable(request.url ?? '')}: ${refusal}`)
  })
  server.listen(command.port, '127.0.0.1')
  await once(server, 'listening').catch((error: Error) => {
    throw new CommandError(error.message)
  })
  const { port } = server.address() as AddressInfo
  output.talk(`WEBHOOK_URL=http://127.0.0.1:${port}/`)
  if (known === '') output.talk(`WEBHOOK_SECRET=${secret}`)
  if (!signal.aborted) await once(signal, 'abort')
  server.close()
  server.closeAllConnections()
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

function print(id: string, body: string, output: Output): void {
  const { type, timestamp, data } = JSON.parse(body) as Event
  output.data({ id, type, timestamp, data }, [timestamp, type, JSON.stringify(data), id].map(printable).join('  '))
}
