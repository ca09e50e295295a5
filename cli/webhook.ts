import { once } from 'node:events'
import { makeWebhookSecret, WRONG_SECRET, webhookKey } from '../services/reach/standard-webhooks.ts'
import { type ReceivedCall, WebhookReceiver } from '../services/reach/webhook-receiver.ts'
import type { WebhookCommand } from './arguments.ts'
import { CommandError } from './credentials.ts'
import { type Output, printable } from './output.ts'

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
  const secret = known === '' ? makeWebhookSecret() : known
  const keys = secret.split(',').map((entry) => webhookKey(entry.trim()))
  if (!keys.every((key) => key !== undefined)) throw new CommandError('the secret must be whsec_ and 24 to 64 bytes in base64')

  const answer = ({ request, body, refusal }: ReceivedCall): number => {
    if (refusal === undefined) print(String(request.headers['webhook-id']), body, output)
    else output.error(`${request.method} ${printable(request.url ?? '')}: ${refusal}${adviceOn(refusal, known === '')}`)
    return refusal === undefined ? 204 : 401
  }
  const receiver = await WebhookReceiver.start({ port: command.port, keys, answer }).catch((error: Error) => {
    throw new CommandError(error.message)
  })
  output.talk(`WEBHOOK_URL=${receiver.url}`)
  if (known === '') output.talk(`WEBHOOK_SECRET=${secret}`)
  if (!signal.aborted) await once(signal, 'abort')
  receiver.close()
}

/** Returns what to do about a wrong secret, which is the usual mistake. */
function adviceOn(refusal: string, isGenerated: boolean): string {
  if (refusal !== WRONG_SECRET) return ''
  return isGenerated
    ? '. Start the service with the WEBHOOK_SECRET above, or this command with the WEBHOOK_SECRET of the service'
    : '. The service has another WEBHOOK_SECRET'
}

function print(id: string, body: string, output: Output): void {
  const { type, timestamp, data } = JSON.parse(body) as Event
  output.data({ id, type, timestamp, data }, [timestamp, type, JSON.stringify(data), id].map(printable).join('  '))
}
