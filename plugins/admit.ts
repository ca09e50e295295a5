import fp from 'fastify-plugin'
import type { Admission } from '../services/connection/accept.ts'
import { admit } from '../services/connection/admission.ts'
import { clientAddress } from '../services/connection/client-address.ts'
import { ConnectThrottle } from '../services/connection/connect-throttle.ts'
import { originAllowed } from '../services/connection/upgrade.ts'
import { errors } from '../services/errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    admit: {
      /** What is answered in HTTP: 403 for the origin, 429 for too many attempts, 503 without a store. When very many come at once, they take turns. */
      upgrade: (request: FastifyRequest) => Promise<void>
      /** The token, the device and the start of the cursor; 503 when the user's part of the store is away, or the node began to stop meanwhile. */
      identify: (request: FastifyRequest) => Promise<Admission>
    }
  }
}

interface SocketQuery {
  token?: string
  device_id?: string
  last_event_id?: string
}

/** Who may open a connection, whatever the transport. */
export default fp(
  async (app) => {
    const { ALLOWED_ORIGINS } = app.config
    const allowed = ALLOWED_ORIGINS.map((origin) => origin.toLowerCase())
    const throttle = new ConnectThrottle()
    app.decorate('admit', {
      upgrade: async (request) => {
        if (!originAllowed(request.headers.origin, allowed)) throw new errors.OriginForbidden()
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
        const admission = await admit(app.auth.verify, introduction)
        // A stop may have begun while the keys were fetched. It told every connection already, and would wait for this one.
        if (app.health.stopping) throw new errors.Draining()
        if (admission.admitted && !app.store.availableTo(admission.identity.user)) throw new errors.StoreUnavailable()
        return admission
      }
    })
  },
  { name: 'admit', fastify: '5.x', dependencies: ['auth', 'rate-limit', 'store', 'health'] }
)
