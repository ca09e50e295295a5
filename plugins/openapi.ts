import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { pageShell } from '../services/node/page-shell.ts'
import { PROJECT_VERSION } from '../services/node/version.ts'

const PAGES = new URL('../pages/', import.meta.url)

/** Serves OpenAPI 3.1 at /docs, for the later registered routes that have an operationId. */
export default fp(
  async (app) => {
    await app.register(swagger, {
      // The paths of the document have no prefix: that of a proxy or of an embedding app is in the URL of the server.
      stripBasePath: false,
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Belfry',
          version: PROJECT_VERSION,
          description:
            'Real-time notifications: one call reaches every device of a user. The frames of the WebSocket are at [/docs/socket](docs/socket).'
        },
        // Without PUBLIC_URL the server is relative to this document, /docs/json, which keeps the path prefix of a proxy.
        servers: [{ url: app.config.PUBLIC_URL || '..' }],
        tags: [
          { name: 'publish', description: 'For services' },
          { name: 'inbox', description: 'For services: the notifications of a user' },
          { name: 'topics', description: 'For services: members of topics, and broadcasts to them' },
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
                'Paste the token of a service: a JWT with scope publish or admin, or an API key. Each route lists the scope that it needs, and admin includes publish. To make one: `npx belfry token --user my-service --scope admin`'
            },
            user: {
              type: 'http',
              scheme: 'bearer',
              bearerFormat: 'JWT',
              description: 'Paste the token of a user: a JWT whose sub is the user. To make one: `npx belfry token --user alice`'
            }
          }
        }
      },
      transform: ({ schema, url }) => ({ schema: documented(schema as Described | undefined), url: url.slice(app.prefix.length) }),
      refResolver: { buildLocalReference: (json, _base, _fragment, index) => (typeof json.$id === 'string' ? json.$id : `def-${index}`) }
    })
    await app.register(fastifyStatic, {
      root: fileURLToPath(PAGES),
      prefix: '/docs/pages/',
      decorateReply: false,
      index: false
    })
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { layout: 'BaseLayout', defaultModelsExpandDepth: 0, syntaxHighlight: false },
      uiHooks: {
        // The page of the library has no viewport, and the logo of Fastify.
        onRequest: async ({ url }, reply) => {
          const [path = ''] = url.split('?')
          if (path === `${app.prefix}/docs/`) return reply.redirect('../docs')
          if (path !== `${app.prefix}/docs`) return
          return reply.type('text/html; charset=utf-8').send(apiPage(app.hasRoute({ method: 'GET', url: `${app.prefix}/demo` })))
        }
      }
    })
  },
  { name: 'openapi', fastify: '5.x' }
)

/** Scripts of the page, as paths from /docs/. */
const SCRIPTS = ['static/swagger-ui-bundle.js', 'static/swagger-ui-standalone-preset.js', 'static/swagger-initializer.js', 'pages/api.js']

/** Returns the page that shows the OpenAPI document. */
function apiPage(hasDemo: boolean): string {
  const scripts = SCRIPTS.map((path) => `<script src="docs/${path}"></script>`)
  return pageShell({
    title: 'Belfry API',
    up: 'docs/',
    sheets: ['static/swagger-ui.css', 'pages/theme.css', 'pages/api.css'],
    current: '../docs',
    source: ['json', 'OpenAPI'],
    hasDemo,
    body: `<div id="swagger-ui"></div>\n${scripts.join('\n')}`
  })
}

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
