import { bearerToken, TokenError, type VerifyToken } from '../auth/tokens.ts'
import { closeCodes, DEFAULT_DEVICE, EARLIEST, LATEST, parseEventId } from '../protocol/index.ts'
import type { Start } from '../store/store.ts'
import type { Identity } from './context.ts'
import { readOffer } from './subprotocol.ts'

/** The result of the checks during an upgrade. */
export type Admission =
  | { admitted: true; identity: Identity; start: Start }
  /** The socket is closed after the upgrade, since a browser can read a close code but not an HTTP status. */
  | {
      admitted: false
      code: number
      reason: string
      reconnectInMs?: number
      /** An Error with the detail of the refusal, for the log. */
      cause?: unknown
    }

/** The parts of a request that identify the user, the device and the start of the cursor. */
interface ConnectRequest {
  authorization: string | undefined
  protocols: string | undefined
  token: string | undefined
  deviceId: string | undefined
  lastEventId: string | undefined
  address: string
}

/**
 * Verifies the token of a request, and returns the user, the device and the start of the cursor, or the close code of a refusal. The token is
 * the first found of the `Authorization` header, the subprotocol and the query.
 *
 * @throws KeyUnknown or KeysUnavailable if the key of the token cannot be looked up now
 */
export async function admit(verify: VerifyToken, request: ConnectRequest): Promise<Admission> {
  const offer = readOffer(request.protocols)
  if (!offer.isSupported) return { admitted: false, ...closeCodes.unsupportedVersion }
  const header = bearerToken(request.authorization)
  try {
    const claims = await verify(header ?? (offer.token || (request.token ?? '')))
    return {
      admitted: true,
      identity: {
        user: claims.sub,
        deviceId: copyOf(request.deviceId ?? DEFAULT_DEVICE),
        issuedAt: claims.issuedAt,
        expiresAt: claims.expiresAt,
        address: copyOf(request.address)
      },
      start: startOf(request.lastEventId)
    }
  } catch (error) {
    if (!(error instanceof TokenError)) throw error
    return { admitted: false, code: closeCodes.unauthorized.code, reason: error.refusal, cause: error.cause }
  }
}

/** Returns whether a page of this origin may connect. A request without an origin is not from a browser: no page can abuse its credentials. */
export function isOriginAllowed(origin: string | undefined, allowed: string[]): boolean {
  return allowed.length === 0 || origin === undefined || allowed.includes(origin.toLowerCase())
}

function startOf(lastEventId: string | undefined): Start {
  if (lastEventId === undefined || lastEventId === '') return { at: 'device' }
  if (lastEventId === EARLIEST) return { at: 'earliest' }
  if (lastEventId === LATEST) return { at: 'latest' }
  const position = parseEventId(lastEventId)
  return position === undefined ? { at: 'unknown' } : { at: 'position', position }
}

/** Copies text. A substring of a URL would keep the whole URL, token included, in memory for the life of the connection. */
function copyOf(text: string): string {
  return Buffer.from(text).toString()
}
