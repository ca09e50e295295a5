import type { PublishAnswer } from '../services/delivery/publisher.ts'
import type { RecipientResult } from '../services/delivery/recipient-result.ts'
import { type PublishCommand, UsageError } from './arguments.ts'
import { callService, readAnswer } from './call-service.ts'
import { CommandError } from './credentials.ts'
import { type Output, timeOf } from './output.ts'

/**
 * Publishes a notification, and prints the result for each recipient.
 *
 * @param origin of the service
 * @param readInput reads stdin, for `--data -`
 * @throws UsageError when `--data` is no JSON object, CommandError when the service rejected the request or a recipient
 */
export async function publish(
  command: PublishCommand,
  origin: string,
  token: string,
  readInput: () => Promise<string>,
  output: Output
): Promise<void> {
  const { to, type, title, ref, halfLife, ttl, collapseKey, urgency, deliverAt, key } = command
  const data = command.data === undefined ? undefined : objectOf(command.data === '-' ? await readInput() : command.data)
  const actions = command.actions.length === 0 ? undefined : command.actions
  const options = { halfLife, ttl, collapseKey, urgency, deliverAt, actions }
  const recipients = Array.isArray(to) && to.length === 1 ? to[0] : to
  const body = { to: recipients, type, title, ref, data, ...options }
  const extra = key === undefined ? {} : { 'idempotency-key': key }
  const response = await callService('POST', `${origin}/v1/notifications`, token, body, extra)
  const answer = await readAnswer<PublishAnswer>(response)
  if (output.json) output.data(answer, '')
  else if (answer.broadcast !== undefined) output.data(answer, `${answer.broadcast.status}  ${answer.broadcast.id}  ${answer.id}`)
  else for (const result of answer.results) output.data(result, lineOf(answer.id, result))
  if (response.headers.get('idempotent-replayed') === 'true') output.talk('an earlier request with this key had been carried out')
  const rejected = answer.results.filter(({ status }) => status === 'rejected').length
  if (rejected > 0) throw new CommandError(`rejected for ${rejected} of ${answer.results.length} recipients`)
}

function objectOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // The error below covers text that is not JSON as well.
  }
  throw new UsageError('--data must be a JSON object')
}

function lineOf(id: string, result: RecipientResult): string {
  switch (result.status) {
    case 'accepted':
      return `accepted  ${result.user}  ${result.eventId}  ${id}`
    case 'parked':
      return `parked  ${result.user}  until ${timeOf(result.releaseAt)}  ${id}`
    case 'scheduled':
      return `scheduled  ${result.user}  at ${timeOf(result.deliverAt)}  ${id}`
    case 'rejected':
      return `rejected  ${result.user}  ${result.code}`
  }
}
