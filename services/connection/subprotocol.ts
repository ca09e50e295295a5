import { BEARER_PREFIX, SUBPROTOCOL } from '../protocol/index.ts'

/** What a client offered in `Sec-WebSocket-Protocol`. */
export interface Offer {
  /** `belfry.v1` is among them, or none but a token is. */
  supported: boolean
  /** The token of a `bearer.<jwt>` entry; '' without one. */
  token: string
}

/** Reads a `Sec-WebSocket-Protocol` header (RFC 6455 §11.3.4). */
export function readOffer(header: string | undefined): Offer {
  const entries = (header ?? '').split(',').map((entry) => entry.trim())
  const names = entries.filter((entry) => entry !== '' && !isToken(entry))
  const token = entries.find(isToken)?.slice(BEARER_PREFIX.length) ?? ''
  return { supported: names.length === 0 || names.includes(SUBPROTOCOL), token }
}

/** Whether an entry carries a token. Names of subprotocols are compared as written, but clients write `Bearer` as they do in headers. */
function isToken(entry: string): boolean {
  return entry.slice(0, BEARER_PREFIX.length).toLowerCase() === BEARER_PREFIX
}

/** A name that may be a version of a protocol; a JWT without its prefix is longer. */
const VERSION_NAME = /^[\w.-]{1,32}$/

/**
 * Returns the subprotocol to answer with: `belfry.v1`, else the first that may be another version, so that a browser can read the close
 * code. Never returns a token.
 */
export function chooseProtocol(offered: Set<string>): string | false {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL
  for (const name of offered) if (!isToken(name) && VERSION_NAME.test(name)) return name
  return false
}
