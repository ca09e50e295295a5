import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { MembersChangedSchema, MembersChangeSchema, MembersQuerySchema, MembersSchema, TopicsSchema } from './schemas/audience.ts'
import { adminSecurity, bodyErrors, described, problems, serviceErrors, TopicSchema, UserParams } from './schemas/common.ts'

/** Largest body of a change of members, bytes: 10,000 names of 128 characters. */
const MEMBERS_BODY_LIMIT = 8_388_608

const TopicParams = Type.Object({ topic: TopicSchema })

/** Lets services administer the members of topics. */
const topics: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.admin)
  app.addHook('onRequest', app.limits.publish)
  const guarded = { security: adminSecurity }

  app.patch(
    '/v1/topics/:topic/members',
    {
      bodyLimit: MEMBERS_BODY_LIMIT,
      schema: {
        operationId: 'changeMembers',
        summary: 'Add members to a topic, and remove members',
        description: 'In one step. A topic begins with its first member, and ends with its last.',
        tags: ['topics'],
        ...guarded,
        params: TopicParams,
        body: MembersChangeSchema,
        response: { 200: described(MembersChangedSchema, 'What changed'), ...problems(...serviceErrors, ...bodyErrors, 507) }
      }
    },
    (request) => app.topics.change(request.params.topic, request.body)
  )

  app.get(
    '/v1/topics/:topic/members',
    {
      schema: {
        operationId: 'listMembers',
        summary: 'List the members of a topic',
        tags: ['topics'],
        ...guarded,
        params: TopicParams,
        querystring: MembersQuerySchema,
        response: { 200: described(MembersSchema, 'One page'), ...problems(...serviceErrors) }
      }
    },
    (request) => app.topics.members(request.params.topic, request.query)
  )

  app.delete(
    '/v1/topics/:topic',
    {
      schema: {
        operationId: 'deleteTopic',
        summary: 'Remove all members of a topic',
        description: 'Broadcasts to it that have started go on.',
        tags: ['topics'],
        ...guarded,
        params: TopicParams,
        response: { 204: described(Type.Null(), 'It has no members'), ...problems(...serviceErrors) }
      }
    },
    async (request, reply) => {
      await app.topics.delete(request.params.topic)
      return reply.code(204).send(null)
    }
  )

  app.get(
    '/v1/users/:user/topics',
    {
      schema: {
        operationId: 'listTopics',
        summary: 'List the topics of a user',
        tags: ['topics'],
        ...guarded,
        params: UserParams,
        response: { 200: described(TopicsSchema, 'All of them'), ...problems(...serviceErrors) }
      }
    },
    async (request) => ({ items: await app.topics.topicsOf(request.params.user) })
  )
}

export default topics
