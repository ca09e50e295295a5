import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyError, FastifyRequest } from 'fastify'
import type { PublishRequest } from '../services/delivery/publish-request.ts'
import type { BatchItem } from '../services/delivery/publisher.ts'
import { type JsonProblem, refusalOf } from '../services/node/exact-json.ts'
import { bodyErrors, described, problems, serviceErrors, serviceSecurity } from './schemas/common.ts'
import {
  BatchAnswerSchema,
  type BatchItemBody,
  BatchItemSchema,
  BatchSchema,
  PublishAnswerSchema,
  PublishHeaders,
  PublishSchema
} from './schemas/publish.ts'

/** Largest body of a batch, bytes. Other bodies have the limit of the server. */
const BATCH_BODY_LIMIT = 8_388_608

const notifications: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.service)
  app.addHook('onRequest', app.limits.publish)

  app.post(
    '/v1/notifications',
    {
      schema: {
        operationId: 'publish',
        summary: 'Publish a notification',
        description:
          'To users, to the members of a topic, or to everyone. 202: it is in the store, and for an audience the broadcast goes on. 200: an earlier request with the same Idempotency-Key had put it there.',
        tags: ['publish'],
        security: serviceSecurity,
        headers: PublishHeaders,
        body: PublishSchema,
        response: {
          202: described(PublishAnswerSchema, 'In the store, as safe as durability says; what became of it for each recipient'),
          200: described(PublishAnswerSchema, 'An earlier request with this key had been carried out; nothing was written', {
            'idempotent-replayed': { type: 'string', enum: ['true'], description: 'This answer repeats an earlier one' }
          }),
          ...problems(...serviceErrors, ...bodyErrors, 422, 507)
        }
      }
    },
    async (request, reply) => {
      const key = request.headers['idempotency-key']
      const { answer, replayed } = await app.publisher.publish(
        request.body,
        request.publisher,
        key === undefined ? undefined : unquoted(key)
      )
      if (replayed) reply.header('idempotent-replayed', 'true')
      return reply.code(replayed ? 200 : 202).send(answer)
    }
  )

  app.post(
    '/v1/notifications/batch',
    {
      bodyLimit: BATCH_BODY_LIMIT,
      config: { bodyProblems: 'by route' },
      schema: {
        operationId: 'publishBatch',
        summary: 'Publish up to 1,000 notifications',
        description:
          'Each item is carried out or refused on its own, in the order of the items, and so are the results. 503 when the store took none of them.',
        tags: ['publish'],
        security: serviceSecurity,
        body: BatchSchema,
        response: {
          202: described(BatchAnswerSchema, 'Each item was carried out or refused'),
          ...problems(...serviceErrors, ...bodyErrors)
        }
      }
    },
    async (request, reply) => {
      const results = await app.publisher.publishBatch(batchItems(request, request.body.notifications), request.publisher)
      const answers = results.map((result) =>
        'error' in result ? { problem: app.problemOf(result.error as FastifyError, request.id) } : result
      )
      return reply.code(202).send({ results: answers })
    }
  )
}

export default notifications

/** Validates each item on its own, so that an invalid item is refused alone. */
function batchItems(request: FastifyRequest, notifications: unknown[]): BatchItem[] {
  const validate = request.compileValidationSchema(BatchItemSchema, 'body')
  const problems = problemsByItem(request.bodyProblems ?? [])
  return notifications.map((item, index) => {
    const inexact = problems.get(index)
    if (inexact !== undefined) return { error: refusalOf(inexact) }
    if (!validate(item)) return { error: Object.assign(new Error(describe(validate.errors)), { validation: validate.errors }) }
    const { idempotencyKey, ...notification } = item as BatchItemBody
    return { request: notification as PublishRequest, key: idempotencyKey && unquoted(idempotencyKey) }
  })
}

const ITEM = /^\/notifications\/(\d+)/

/**
 * Sorts problems by the item of the batch they are in; their pointers then start at the item.
 *
 * @throws InvalidRequest for those that are in no item
 */
function problemsByItem(problems: JsonProblem[]): Map<number, JsonProblem[]> {
  const byItem = new Map<number, JsonProblem[]>()
  const others: JsonProblem[] = []
  for (const { pointer, detail } of problems) {
    const item = ITEM.exec(pointer)
    if (item === null) others.push({ pointer, detail })
    else {
      const index = Number(item[1])
      byItem.set(index, [...(byItem.get(index) ?? []), { pointer: pointer.slice(item[0].length), detail }])
    }
  }
  if (others.length > 0) throw refusalOf(others)
  return byItem
}

/** Returns an Idempotency-Key without the quotes of a structured-field string (RFC 8941 §3.3.3). */
function unquoted(key: string): string {
  return key.startsWith('"') && key.endsWith('"') ? key.slice(1, -1) : key
}

function describe(problems: { instancePath?: string; message?: string }[] | null | undefined): string {
  return (problems ?? []).map(({ instancePath = '', message = 'is not valid' }) => `${instancePath || 'item'} ${message}`).join(', ')
}
