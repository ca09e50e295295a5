import { type TSchema, Type } from 'typebox'
import { DEVICE_PATTERN, USER_PATTERN } from '../../services/users.ts'
import { ProblemSchema } from './problem.ts'

export const UserSchema = Type.String({
  pattern: USER_PATTERN,
  description: 'The recipient: 1 to 128 printable characters',
  examples: ['alice']
})

export const DeviceSchema = Type.String({
  pattern: DEVICE_PATTERN,
  description: 'Chosen by the client, and stable',
  examples: ['laptop-firefox']
})

export const NotificationIdSchema = Type.String({ minLength: 1, maxLength: 64, examples: ['Zm9vYmFyYmF6cXV4MTIz'] })

export const EventIdSchema = Type.String({
  maxLength: 64,
  description: '`<epoch>.<offset>.<id8>`, opaque to clients',
  examples: ['k3f9q2.41.a81c22e0']
})

export const StateSchema = Type.Union([Type.Literal('unread'), Type.Literal('seen'), Type.Literal('read'), Type.Literal('archived')], {
  description: 'seen is not read: it still counts as unread'
})

export const MillisecondsSchema = (description: string) =>
  Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: `${description}, Unix milliseconds`,
    examples: [1_754_000_000_000]
  })

export const UserParams = Type.Object({ user: UserSchema })

/** Error answers by status, for a route's `response`. All of them are problems. */
export function problems(...statuses: number[]): Record<number, TSchema> {
  return Object.fromEntries(
    statuses.map((status) => [status, { description: 'Problem', content: { 'application/problem+json': { schema: Type.Ref('Problem') } } }])
  ) as unknown as Record<number, TSchema>
}

export const serviceErrors = [400, 401, 403, 429, 503]
export const userErrors = [400, 401, 503]

/** How a route is guarded, for OpenAPI. */
export const serviceSecurity = [{ service: [] as string[] }]
export const userSecurity = [{ user: [] as string[] }]

export const shared = [ProblemSchema]
