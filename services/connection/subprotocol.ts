import { BEARER_PREFIX, SUBPROTOCOL } from '../protocol/index.ts'

/** The content of a `Sec-WebSocket-Protocol` header. */
export interface Offer {
  /** The client offers `belfry.v1`, or no subprotocol besides a token. */
  isSupported: boolean
  /** The token of the `bearer.<jwt>` entry; '' if there is none. */
  token: string
}

/** Reads a `Sec-WebSocket-Protocol` header (RFC 6455 §11.3.4). */
export function readOffer(header: string | undefined): Offer {
  const entries = (header ?? '').split(',').map((entry) => entry.trim())
  const names = entries.filter((entry) => entry !== '' && !isToken(entry))
  const token = entries.find(isToken)?.slice(BEARER_PREFIX.length) ?? ''
  return { isSupported: names.length === 0 || names.includes(SUBPROTOCOL), token }
}

/** Returns whether an entry carries a token. Subprotocol names are case-sensitive, but clients write `Bearer` as in headers. */
function isToken(entry: string): boolean {
  return entry.slice(0, BEARER_PREFIX.length).toLowerCase() === BEARER_PREFIX
}

/** A name that may be another version of the protocol. A JWT without its prefix is longer. */
const VERSION_NAME = /^[\w.-]{1,32}$/

/**
 * Returns the subprotocol of the answer: `belfry.v1`, or else the first name that may be another version, so that a browser can read the close
 * code. Never returns a token.
 */
export function chooseProtocol(offered: Set<string>): string | false {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL
  for (const name of offered) if (!isToken(name) && VERSION_NAME.test(name)) return name
  return false
}
