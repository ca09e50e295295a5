import { BelfryError } from './errors.ts'
import type { Tokens } from './token.ts'
import type { FetchLike } from './types.ts'

/** Problem details, as the service answers errors with. */
interface Problem {
  code?: string
  detail?: string
}

/**
 * What the service answers to a GET as the user. A token that is refused is replaced once.
 * Rejects with a `BelfryError`, with what `fetch` threw, or with what `getToken` threw.
 */
export async function getJson(fetch: FetchLike | undefined, url: string, tokens: Tokens): Promise<unknown> {
  if (fetch === undefined) throw new BelfryError('BELFRY_CLIENT_HTTP', 'there is no fetch here', false)
  const ask = async () => fetch(url, { headers: { accept: 'application/json', authorization: `Bearer ${await tokens.get()}` } })
  let reply = await ask()
  if (reply.status === 401) {
    tokens.drop('unauthorized')
    reply = await ask()
  }
  if (reply.ok) return reply.json()
  const { code, detail } = (await reply.json().catch(() => ({}))) as Problem
  const temporary = reply.status === 429 || reply.status >= 500
  throw new BelfryError(code ?? 'BELFRY_CLIENT_HTTP', detail ?? `the service answered ${reply.status}`, temporary)
}
