import { deadline } from './deadline.ts'
import { BelfryError } from './errors.ts'
import type { Platform } from './platform.ts'
import type { FetchLike } from './types.ts'

/** A request that a half-dead network lost never settles. */
const REQUEST_MS = 30_000

/** The body of an error answer (RFC 9457). */
interface Problem {
  code?: string
  detail?: string
}

/** The parts of a client that a request needs. */
export interface RestClient extends Pick<Platform, 'setTimeout' | 'clearTimeout'> {
  readonly url: string
  readonly fetch: FetchLike | undefined
  token(refused?: boolean): Promise<string>
}

interface RequestOptions {
  method: 'PUT' | 'DELETE'
  headers?: Record<string, string>
  body?: string
}

/**
 * Sends a request with the user's token, a GET unless `init` says otherwise, and returns the JSON of the answer. If the token is refused, tries
 * once more with a new one. Rejects with a `BelfryError`, with an Error after 30 s, or with the error of `fetch` or `getToken`.
 */
export function request(client: RestClient, path: string, init?: RequestOptions): Promise<unknown> {
  return deadline(client, REQUEST_MS, send(client, path, init), 'request')
}

async function send(client: RestClient, path: string, init?: RequestOptions): Promise<unknown> {
  const { url, fetch } = client
  if (fetch === undefined) throw new BelfryError('BELFRY_CLIENT_HTTP', 'there is no fetch', false)
  const ask = async (refused: boolean) => {
    const headers = { ...init?.headers, accept: 'application/json', authorization: `Bearer ${await client.token(refused)}` }
    return fetch(url + path, { ...init, headers })
  }
  let reply = await ask(false)
  if (reply.status === 401) reply = await ask(true)
  if (reply.ok) return reply.status === 204 || reply.json()
  const { code, detail } = (await reply.json().catch(() => ({}))) as Problem
  const temporary = reply.status === 429 || reply.status >= 500
  throw new BelfryError(code ?? 'BELFRY_CLIENT_HTTP', detail ?? `the service answered ${reply.status}`, temporary)
}
