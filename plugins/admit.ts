import type { FastifyBaseLogger } from 'fastify'
import fp from 'fastify-plugin'
import { type Admission, admit, isOriginAllowed } from '../services/connection/admission.ts'
import { clientAddress } from '../services/connection/client-address.ts'
import { ConnectThrottle } from '../services/connection/connect-throttle.ts'
import { errors } from '../services/errors.ts'
import { closeCodes } from '../services/protocol/index.ts'

declare module 'fastify' {
  interface FastifyInstance {
    admit: {
      /** Refuses with 403 for the origin, 429 for too many attempts, 503 without a store or room. Under load, callers wait their turn. */
      upgrade: (request: FastifyRequest) => Promise<void>
      /** Returns the user, the device and the start of the cursor. Throws 503 if the node now stops or is full, or the user's part of the store is away. */
      identify: (request: FastifyRequest) => Promise<Admission>
    }
  }
}

interface SocketQuery {
  token?: string
  device_id?: string
  last_event_id?: string
}

/** Decides which requests may open a connection, over either transport. */
export default fp(
  async (app) => {
    const { ALLOWED_ORIGINS } = app.config
    const allowed = ALLOWED_ORIGINS.map((origin) => origin.toLowerCase())
    const throttle = new ConnectThrottle()
    const refuseWhenFull = (): void => {
      if (app.connections.count >= app.maxConnections) throw new errors.Overloaded()
    }
    app.decorate('admit', {
      upgrade: async (request) => {
        if (!isOriginAllowed(request.headers.origin, allowed)) throw new errors.OriginForbidden()
        refuseWhenFull()
        await app.limits.connect(request)
        await throttle.take()
        if (!app.store.status().available) throw new errors.StoreUnavailable()
      },
      identify: async (request) => {
        const { token, device_id: deviceId, last_event_id: lastEventId } = request.query as SocketQuery
        const { authorization, 'sec-websocket-protocol': protocols, 'last-event-id': header } = request.headers
        const resumed = typeof header === 'string' ? header : lastEventId
        const introduction = {
          authorization,
          protocols,
          token,
          deviceId,
          lastEventId: resumed,
          address: clientAddress(request.ip, request.raw.socket.remoteAddress)
        }
        const admission = await admit(app.auth.verify, introduction).catch((error: unknown) => refusedForNow(error, request.ws))
        if (!admission.admitted && request.ws) logRefusal(request.log, admission)
        // A stop may have begun while the keys were fetched. It has sent `bye` to every connection, and would wait for this one.
        if (app.health.stopping) throw new errors.Draining()
        if (admission.admitted && !app.store.availableTo(admission.identity.user)) throw new errors.StoreUnavailable()
        // Other connections may have been admitted while this token was verified.
        refuseWhenFull()
        return admission
      }
    })
  },
  { name: 'admit', fastify: '5.x', dependencies: ['auth', 'rate-limit', 'store', 'health', 'connections'] }
)

/** Logs a refusal by close code. That of an event stream has an HTTP status, and is logged with its answer. */
function logRefusal(log: FastifyBaseLogger, { code, reason, cause }: Extract<Admission, { admitted: false }>): void {
  log.info({ code, reason, ...(cause instanceof Error ? { cause: cause.message } : {}) }, 'a connection was refused')
}

/**
 * Turns KeyUnknown into a refusal by close code 4100 with a time, for WebSockets: a browser can read a close code, but no HTTP status.
 *
 * @throws any other error, and KeyUnknown for an event stream
 */
function refusedForNow(error: unknown, isWebSocket: boolean): Admission {
  if (!isWebSocket || !(error instanceof errors.KeyUnknown)) throw error
  const { retryAfterMs } = error as { retryAfterMs?: number }
  return { admitted: false, code: closeCodes.serverError.code, reason: 'key_unknown', reconnectInMs: retryAfterMs ?? 0 }
}
