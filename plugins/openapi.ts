import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { PROJECT_VERSION } from '../services/version.ts'

/** OpenAPI 3.1 at /docs, for every route registered after it. */
export default fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Belfry',
          version: PROJECT_VERSION,
          description:
            'Real-time notifications: one call reaches every device of a user. The WebSocket is described by AsyncAPI at /docs/asyncapi.json.'
        },
        tags: [
          { name: 'publish', description: 'For services' },
          { name: 'inbox', description: 'For services: the notifications of a user' },
          { name: 'connections', description: 'For services: the sockets of a user' },
          { name: 'me', description: "For the user's own client" },
          { name: 'operations', description: 'Health and metrics, without authentication' }
        ],
        components: {
          securitySchemes: {
            service: { type: 'http', scheme: 'bearer', description: 'A JWT with scope publish or admin, or an API key' },
            user: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "The user's JWT" }
          }
        }
      },
      refResolver: { buildLocalReference: (json, _base, _fragment, index) => (typeof json.$id === 'string' ? json.$id : `def-${index}`) }
    })
    await app.register(swaggerUi, { routePrefix: '/docs' })
  },
  { name: 'openapi', fastify: '5.x' }
)
