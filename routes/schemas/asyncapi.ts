import type { TSchema } from 'typebox'
import { BEARER_PREFIX, closeCodes, SOCKET_PATH, SUBPROTOCOL, verdictOf } from '../../services/protocol/index.ts'
import { SocketQuery } from './common.ts'
import { frameExamples } from './frame-examples.ts'
import { clientFrames, serverFrames } from './frames.ts'

const VERDICTS = { stop: 'do not reconnect unchanged', 'back-off': 'reconnect with back-off', now: 'reconnect after bye.reconnectInMs' }

/** Close codes that are not Belfry's own but that its clients see. */
const STANDARD_CODES = { 1009: 'frame too big', 1006: 'the network failed' }

/**
 * Returns the AsyncAPI 3 document of the WebSocket.
 *
 * @param version of the service
 * @param base address of the service, with a path prefix if there is one
 */
export function asyncApi(version: string, base: URL): Record<string, unknown> {
  const prefix = base.pathname.replace(/\/$/, '')
  const server = { host: base.host, protocol: base.protocol === 'https:' ? 'wss' : 'ws', ...(prefix === '' ? {} : { pathname: prefix }) }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Belfry WebSocket',
      version,
      description: `The subprotocol ${SUBPROTOCOL}: text frames of JSON. A connection is a cursor over its user's log.`
    },
    defaultContentType: 'application/json',
    servers: { here: { ...server, security: ['header', 'subprotocol', 'query'].map((name) => ref('securitySchemes', name)) } },
    channels: {
      socket: {
        address: SOCKET_PATH,
        servers: [{ $ref: '#/servers/here' }],
        messages: Object.fromEntries(names().map((name) => [name, ref('messages', name)])),
        bindings: { ws: { method: 'GET', query: SocketQuery, bindingVersion: '0.1.0' } }
      }
    },
    operations: {
      toClient: operation('send', 'What the server sends', serverFrames),
      fromClient: operation('receive', 'What a client may send', clientFrames)
    },
    components: {
      messages: { ...messages(serverFrames), ...messages(clientFrames) },
      securitySchemes: {
        header: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Authorization: Bearer; the first of the three wins' },
        subprotocol: {
          type: 'httpApiKey',
          in: 'header',
          name: 'Sec-WebSocket-Protocol',
          description: `Offer ${SUBPROTOCOL} and ${BEARER_PREFIX}<jwt>; the token is never answered back`
        },
        query: { type: 'httpApiKey', in: 'query', name: 'token', description: 'Where nothing else can carry it' }
      }
    },
    'x-close-codes': closes()
  }
}

function ref(kind: string, name: string): { $ref: string } {
  return { $ref: `#/components/${kind}/${name}` }
}

function names(): string[] {
  return [...Object.keys(serverFrames), ...Object.keys(clientFrames)]
}

function operation(action: 'send' | 'receive', summary: string, frames: Record<string, TSchema>) {
  const refs = Object.keys(frames).map((name) => ({ $ref: `#/channels/socket/messages/${name}` }))
  return { action, summary, channel: { $ref: '#/channels/socket' }, messages: refs }
}

function messages(frames: Record<string, TSchema & { description?: string }>) {
  return Object.fromEntries(
    Object.entries(frames).map(([name, payload]) => {
      const examples = frameExamples[name as keyof typeof frameExamples].map((example) => ({ payload: example }))
      return [name, { name, title: name, summary: payload.description, payload, examples }]
    })
  )
}

function closes() {
  const own = Object.values(closeCodes).map(({ code, reason }) => [code, reason] as const)
  const standard = Object.entries(STANDARD_CODES).map(([code, reason]) => [Number(code), reason] as const)
  return [...standard, ...own].map(([code, reason]) => ({ code, reason, verdict: VERDICTS[verdictOf(code)] }))
}
