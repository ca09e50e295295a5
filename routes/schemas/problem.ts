import { type Static, Type } from 'typebox'
import type { Problem } from '../../services/problem.ts'
import { AnswerSchema } from './answer.ts'
import { type Equal, proven } from './equal.ts'

export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'A URN that names the error' }),
    title: Type.String({ description: 'The status in words' }),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String({ description: 'The id of the request, as in the log' }),
    code: Type.String({ description: 'One of the codes in docs/reference/errors.md' }),
    errors: Type.Optional(
      Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), { description: 'Where the request is not valid' })
    ),
    retryAfterMs: Type.Optional(Type.Integer({ description: 'When the same request may work: what Retry-After says, exactly' })),
    answer: Type.Optional(AnswerSchema)
  },
  { $id: 'Problem', description: 'application/problem+json (RFC 9457)' }
)

proven<Equal<Static<typeof ProblemSchema>, Problem>>()
