import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyError } from 'fastify'
import { type BatchEntry, carryOutBatch } from '../services/delivery/batch.ts'
import type { PublishRequest } from '../services/delivery/publisher.ts'
import { errors } from '../services/errors.ts'
import { type JsonProblem, refusalOf } from '../services/node/exact-json.ts'
import { bodyErrors, described, problems, serviceErrors, serviceSecurity } from './schemas/common.ts'
import {
  BatchAnswerSchema,
  type BatchItem,
  BatchItemSchema,
  BatchSchema,
  PublishAnswerSchema,
  PublishHeaders,
  PublishSchema
} from './schemas/notification.ts'

const BODY_LIMIT = 262_144
const BATCH_BODY_LIMIT = 8_388_608

const notifications: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.service)
  app.addHook('onRequest', app.limits.publish)

  app.post(
    '/v1/notifications',
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        operationId: 'publish',
        summary: 'Publish a notification',
        description:
          'To one user or to many. 202: it is in the store. 200: an earlier request with the same Idempotency-Key had put it there.',
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
      const validate = request.compileValidationSchema(BatchItemSchema, 'body')
      const problems = problemsByItem(request.bodyProblems ?? [])
      const publish = async (item: unknown, index: number) => {
        try {
          const unkept = problems.get(index)
          if (unkept !== undefined) throw refusalOf(unkept)
          if (!validate(item)) throw Object.assign(new Error(describe(validate.errors)), { validation: validate.errors })
          const { idempotencyKey, ...notification } = item as BatchItem
          const { answer } = await app.publisher.publish(
            notification as PublishRequest,
            request.publisher,
            idempotencyKey && unquoted(idempotencyKey)
          )
          return answer
        } catch (error) {
          return { problem: app.problemOf(error as FastifyError, request.id) }
        }
      }
      const results = await carryOutBatch(request.body.notifications.map(batchEntry), publish)
      if (results.every((result) => 'problem' in result && result.problem.code === 'BELFRY_ERR_STORE_UNAVAILABLE'))
        throw new errors.StoreUnavailable()
      return reply.code(202).send({ results })
    }
  )
}

export default notifications

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

/** The item has not been validated. A keyed item for several users asks for the first of them before the others. */
function batchEntry(item: unknown): BatchEntry<unknown> {
  const { to, idempotencyKey } = item as { to?: unknown; idempotencyKey?: unknown }
  const users = [to].flat().filter((user) => typeof user === 'string')
  return { item, users, isGradual: users.length > 1 && idempotencyKey !== undefined }
}

/** The key of a structured-field string (RFC 8941 §3.3.3), or of a bare one. */
function unquoted(key: string): string {
  return key.startsWith('"') && key.endsWith('"') ? key.slice(1, -1) : key
}

function describe(problems: { instancePath?: string; message?: string }[] | null | undefined): string {
  return (problems ?? []).map(({ instancePath = '', message = 'is not valid' }) => `${instancePath || 'item'} ${message}`).join(', ')
}
