import { BelfryError } from './errors.ts'
import type { Belfry } from './index.ts'

/** Problem details, as the service answers errors with. */
interface Problem {
  code?: string
  detail?: string
}

/**
 * What the service answers to a GET as the user. A token that is refused is replaced once.
 * Rejects with a `BelfryError`, with what `fetch` threw, or with what `getToken` threw.
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
