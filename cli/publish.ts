import type { PublishAnswer, RecipientResult } from '../services/delivery/publisher.ts'
import { type PublishCommand, UsageError } from './arguments.ts'
import { CommandError } from './credentials.ts'
import { type Output, timeOf } from './output.ts'

/** The request fails if the service does not answer in this time, milliseconds. */
const ANSWER_MS = 30_000

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
  const { to, type, title, ref, halfLife, key } = command
  const data = command.data === undefined ? undefined : objectOf(command.data === '-' ? await readInput() : command.data)
  const body = JSON.stringify({ to: to.length === 1 ? to[0] : to, type, title, ref, data, halfLife })
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    ...(key === undefined ? {} : { 'idempotency-key': key })
  }
  const response = await post(`${origin}/v1/notifications`, headers, body)
  const text = await response.text()
  if (!response.ok) throw new CommandError(problemOf(response.status, text))
  const answer = JSON.parse(text) as PublishAnswer
  if (output.json) output.data(answer, '')
  else for (const result of answer.results) output.data(result, lineOf(answer.id, result))
  if (response.headers.get('idempotent-replayed') === 'true') output.talk('an earlier request with this key had been carried out')
  const rejected = answer.results.filter(({ status }) => status === 'rejected').length
  if (rejected > 0) throw new CommandError(`rejected for ${rejected} of ${answer.results.length} recipients`)
}

async function post(url: string, headers: Record<string, string>, body: string): Promise<Response> {
  try {
    return await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(ANSWER_MS) })
  } catch (error) {
    const { cause, message } = error as Error
    throw new CommandError(`${url}: ${reasonOf(cause) || message}`)
  }
}

/** Returns the reason of a failed request. Node reports an address that did not answer as an AggregateError without a message. */
function reasonOf(cause: unknown): string {
  const { message = '', code = '' } = (cause ?? {}) as { message?: string; code?: string }
  return message || code
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

/** Returns the code and detail of a problem+json answer, or the status of any other answer, such as a proxy's page. */
function problemOf(status: number, text: string): string {
  try {
    const { code, detail, title } = JSON.parse(text) as { code?: string; detail?: string; title?: string }
    return [status, code, detail ?? title].filter((part) => part !== undefined).join(' ')
  } catch {
    return `the service answered ${status}`
  }
}
