import { TokenError, type VerifyToken } from '../auth/tokens.ts'
import { closeCodes, DEFAULT_DEVICE, EARLIEST, LATEST, parseEventId } from '../protocol/index.ts'
import type { Start } from '../store/store.ts'
import type { Identity } from './context.ts'
import { readOffer } from './subprotocol.ts'

/** What the checks during the upgrade came to. */
export type Admission =
  | { admitted: true; identity: Identity; start: Start }
  /** Closed at once, since a browser can read a close code but no HTTP status. */
  | { admitted: false; code: number; reason: string; reconnectInMs?: number }

/** What an upgrade request says of who is there. */
export interface Introduction {
  authorization: string | undefined
  protocols: string | undefined
  token: string | undefined
  deviceId: string | undefined
  lastEventId: string | undefined
  address: string
}

/**
 * Who a socket belongs to and where its cursor starts. Token, first found wins: the `Authorization` header, the subprotocol, the query.
 * Never throws for what a client sent: the answer is a close code then.
 */
export async function admit(verify: VerifyToken, introduction: Introduction): Promise<Admission> {
  const offer = readOffer(introduction.protocols)
  if (!offer.supported) return { admitted: false, ...closeCodes.unsupportedVersion }
  const header = /^Bearer +(\S+)$/i.exec(introduction.authorization ?? '')?.[1]
  try {
    const claims = await verify(header ?? (offer.token || (introduction.token ?? '')))
    return {
      admitted: true,
      identity: {
        user: claims.sub,
        deviceId: own(introduction.deviceId ?? DEFAULT_DEVICE),
        issuedAt: claims.issuedAt,
        expiresAt: claims.expiresAt,
        address: own(introduction.address)
      },
      start: startOf(introduction.lastEventId)
    }
  } catch (error) {
    if (!(error instanceof TokenError)) throw error
    return { admitted: false, code: closeCodes.unauthorized.code, reason: error.refusal }
  }
}

/** Whether a page of this origin may connect. No origin is no browser, which has no ambient credentials to abuse. */
export function originAllowed(origin: string | undefined, allowed: string[]): boolean {
  return allowed.length === 0 || origin === undefined || allowed.includes(origin.toLowerCase())
}

function startOf(lastEventId: string | undefined): Start {
  if (lastEventId === undefined || lastEventId === '') return { at: 'device' }
  if (lastEventId === EARLIEST) return { at: 'earliest' }
  if (lastEventId === LATEST) return { at: 'latest' }
  const position = parseEventId(lastEventId)
  return position === undefined ? { at: 'unknown' } : { at: 'position', position }
}

/** A copy of its own: a piece of a URL would keep the whole of it, token and all, alive as long as the connection. */
function own(text: string): string {
  return Buffer.from(text).toString()
}
