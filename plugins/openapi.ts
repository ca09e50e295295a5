import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { PROJECT_VERSION } from '../services/node/version.ts'

/** Serves OpenAPI 3.1 at /docs, for the later registered routes that have an operationId. */
export default fp(
  async (app) => {
    await app.register(swagger, {
      // Routes have no prefix: the one of PUBLIC_URL is the proxy's.
      stripBasePath: false,
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Belfry',
          version: PROJECT_VERSION,
          description:
            'Real-time notifications: one call reaches every device of a user. The WebSocket is described by AsyncAPI at /docs/asyncapi.json.'
        },
        // Without PUBLIC_URL the server is relative to this document, /docs/json, which keeps the path prefix of a proxy.
        servers: [{ url: app.config.PUBLIC_URL || '..' }],
        tags: [
          { name: 'publish', description: 'For services' },
          { name: 'inbox', description: 'For services: the notifications of a user' },
          { name: 'connections', description: 'For services: the sockets of a user' },
          { name: 'me', description: "For the user's own client" },
          { name: 'socket', description: 'The WebSocket; its frames are in /docs/asyncapi.json' },
          { name: 'operations', description: 'Health and metrics, without authentication' }
        ],
        components: {
          securitySchemes: {
            service: {
              type: 'http',
              scheme: 'bearer',
              description:
                'A JWT with scope publish or admin, or an API key; the scope that a route needs is listed there, and admin includes publish'
            },
            user: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "The user's JWT" }
          }
        }
      },
      transform: ({ schema, url }) => ({ schema: documented(schema as Described | undefined), url }),
      refResolver: { buildLocalReference: (json, _base, _fragment, index) => (typeof json.$id === 'string' ? json.$id : `def-${index}`) }
    })
    await app.register(swaggerUi, { routePrefix: '/docs', indexPrefix: '.' })
  },
  { name: 'openapi', fastify: '5.x' }
)

interface Described extends FastifySchema {
  operationId?: string
  querystring?: { required?: string[]; properties: Record<string, { default?: unknown }> }
}

/** Shows a route that has an operationId, also the WebSocket. A query parameter with a default is not required. */
function documented(schema: Described = {}): FastifySchema {
  const { operationId, querystring } = schema
  const shown = { ...schema, hide: operationId === undefined }
  if (querystring?.required === undefined) return shown
  const required = querystring.required.filter((name) => querystring.properties[name]?.default === undefined)
  return { ...shown, querystring: { ...querystring, required } }
}
