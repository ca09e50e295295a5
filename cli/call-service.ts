import { failureReason } from '../services/errors.ts'
import { CommandError } from './credentials.ts'

/** The request fails if the service does not answer in this time, milliseconds. */
const ANSWER_MS = 30_000

/**
 * Calls the REST API of the service.
 *
 * @param body sent as JSON; undefined: none
 * @throws CommandError when the service does not answer, or answers with an error
 */
export async function callService(
  method: string,
  url: string,
  token: string,
  body?: unknown,
  headers: Record<string, string> = {}
): Promise<Response> {
  const response = await send(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(ANSWER_MS)
  })
  if (!response.ok) {
    throw new CommandError(problemOf(response.status, await response.text()), {
      temporary: response.status === 429 || response.status >= 500,
      status: response.status
    })
  }
  return response
}

/**
 * Reads the JSON of an answer.
 *
 * @throws CommandError if the answer is no JSON, such as a proxy's page, or was cut off
 */
export async function readAnswer<Answer>(response: Response): Promise<Answer> {
  try {
    return (await response.json()) as Answer
  } catch {
    throw new CommandError(`${new URL(response.url).origin} did not answer with JSON: is it the address of a Belfry service?`)
  }
}

async function send(url: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request)
  } catch (error) {
    const { cause, message } = error as Error
    const reason = reasonOf(cause) || message
    throw new CommandError(`no answer from ${url} (${reason}): ${remedyFor(reason, new URL(url).protocol)}`, { temporary: true })
  }
}

/** Returns what to do about a request that got no answer. */
export function remedyFor(reason: string, protocol: string): string {
  if (/wrong version number|packet length too long/i.test(reason)) return 'the service does not speak TLS there, write http:// in --url'
  if (/certificate|altnames/i.test(reason)) return 'set NODE_EXTRA_CA_CERTS to the authority of its certificate, or correct --url'
  if (protocol === 'https:' && /ECONNRESET|disconnected/.test(reason)) return 'check that the service speaks TLS there, and --url'
  return 'start the service there, or name its address with --url, or with HOST and PORT'
}

/** Returns the reason of a failed request. Node reports an address that did not answer as an AggregateError without a message. */
export function reasonOf(cause: unknown): string {
  const { message = '', code = '' } = (cause ?? {}) as { message?: string; code?: string }
  return failureReason(message) || code
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
