import { BelfryError } from './errors.ts'
import type { Belfry } from './index.ts'

/** The body of an error answer (RFC 9457). */
interface Problem {
  code?: string
  detail?: string
}

/**
 * Sends a GET with the user's token and returns the JSON of the answer. If the token is refused, tries once more with a new one.
 * Rejects with a `BelfryError`, or with the error of `fetch` or `getToken`.
 */
export async function getJson(belfry: Belfry, path: string): Promise<unknown> {
  const { url, fetch } = belfry
  if (fetch === undefined) throw new BelfryError('BELFRY_CLIENT_HTTP', 'there is no fetch here', false)
  const ask = async (refused: boolean) => {
    const headers = { accept: 'application/json', authorization: `Bearer ${await belfry.token(refused)}` }
    return fetch(url + path, { headers })
  }
  let reply = await ask(false)
  if (reply.status === 401) reply = await ask(true)
  if (reply.ok) return reply.json()
  const { code, detail } = (await reply.json().catch(() => ({}))) as Problem
  const temporary = reply.status === 429 || reply.status >= 500
  throw new BelfryError(code ?? 'BELFRY_CLIENT_HTTP', detail ?? `the service answered ${reply.status}`, temporary)
}
