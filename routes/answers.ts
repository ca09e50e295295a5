import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { GivenAnswerSchema, LinkAnswerSchema } from './schemas/answer.ts'
import { answeredBefore, bodyErrors, described, problems } from './schemas/common.ts'

/** Answers a notification by its answer link, without a token. There is no GET: mail scanners follow links. */
const answers: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.limits.connect)

  app.post(
    '/v1/answers',
    {
      schema: {
        operationId: 'answerByLink',
        summary: 'Answer a notification by its answer link',
        description:
          'The link takes the place of a token: it may answer one notification of one user, as the device link. A link that is wrong or expired, or whose notification was recalled or erased, is 404.',
        tags: ['me'],
        security: [],
        body: LinkAnswerSchema,
        response: {
          200: described(GivenAnswerSchema, 'It was the first answer, or the same one again'),
          409: answeredBefore,
          ...problems(400, 404, ...bodyErrors, 429, 500, 503, 507)
        }
      }
    },
    (request) => app.answers.answerByLink(request.body.link, request.body.action)
  )
}

export default answers
