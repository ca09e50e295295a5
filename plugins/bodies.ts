import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'
import { type JsonProblem, parseExactly, refusalOf } from '../services/node/exact-json.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Parts of the body that JavaScript cannot keep exactly. Only a route with `config.bodyProblems` gets them; others refuse the body. */
    bodyProblems: JsonProblem[] | undefined
  }
  interface FastifyContextConfig {
    /** The route handles `request.bodyProblems` itself, so that one bad item of a list fails alone. */
    bodyProblems?: 'by route'
  }
}

/** Names of UTF-8, the one charset of JSON (RFC 8259 §8.1), and of its subset. */
const CHARSETS = ['utf-8', 'utf8', 'us-ascii']

const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]*)/i

const BYTE_ORDER_MARK = 0xfeff

/** Parses bodies: JSON in UTF-8 without a content coding. An empty body counts as none, also if its type is another. */
export default fp(
  async (app) => {
    app.decorateRequest('bodyProblems')
    app.addHook('onRequest', (request, _reply, done) => {
      const { headers } = request
      if (headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0') headers['content-type'] = undefined
      done()
    })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
      try {
        done(null, body.length === 0 ? undefined : read(request, body))
      } catch (error) {
        done(error as Error)
      }
    })
    app.addContentTypeParser('*', (request, payload, done) => {
      if (request.is404) return done(null)
      payload.once('data', () => {
        payload.removeAllListeners('end')
        payload.resume()
        done(new errors.UnsupportedMediaType())
      })
      payload.once('end', () => done(null))
      payload.once('error', done)
    })
  },
  { name: 'bodies', fastify: '5.x', dependencies: ['error-handler'] }
)

/** @throws UnsupportedMediaType, InvalidRequest */
function read(request: FastifyRequest, body: Buffer): unknown {
  const { 'content-encoding': coding = 'identity', 'transfer-encoding': transfer = 'chunked', 'content-type': type = '' } = request.headers
  const charset = CHARSET.exec(type)?.[1] ?? 'utf-8'
  const isPlain = coding.toLowerCase() === 'identity' && transfer.toLowerCase() === 'chunked'
  if (!isPlain || !CHARSETS.includes(charset.toLowerCase())) throw new errors.UnsupportedMediaType()
  if (!isUtf8(body)) throw new errors.InvalidRequest('the body is not UTF-8')
  const text = body.toString()
  const { value, problems } = parse(text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text)
  if (problems.length > 0 && request.routeOptions.config.bodyProblems !== 'by route') throw refusalOf(problems)
  request.bodyProblems = problems
  return value
}

function parse(text: string): { value: unknown; problems: JsonProblem[] } {
  try {
    return parseExactly(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new errors.InvalidRequest('the body is not JSON')
  }
}
