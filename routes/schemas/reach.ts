import { Type } from 'typebox'

const UnlessSchema = (defaultValue: string) =>
  Type.Enum(['delivered', 'seen', 'read'], {
    type: 'string',
    description: `The state that makes it unnecessary; default: ${defaultValue}. delivered: some device has received it; read: also if archived or answered`
  })

/** Longest time from a notification to its push or its fallback, seconds. */
const REACH_MAX_SECONDS = 2_592_000

const AfterSchema = (description: string) => Type.Number({ minimum: 0, maximum: REACH_MAX_SECONDS, description })

/** Options of a notification that reach users who are not looking. Devices do not get them. */
export const reach = {
  push: Type.Optional(
    Type.Union(
      [
        Type.Literal(false),
        Type.Object(
          {
            after: Type.Optional(AfterSchema('Seconds from the append; default: PUSH_AFTER_SECONDS')),
            unless: Type.Optional(UnlessSchema('PUSH_UNLESS'))
          },
          { additionalProperties: false }
        )
      ],
      { description: "false: it is not pushed to the user's browsers; else when it is, if nobody has looked by then" }
    )
  ),
  fallback: Type.Optional(
    Type.Object(
      {
        after: AfterSchema('Seconds from the append'),
        unless: Type.Optional(UnlessSchema('read'))
      },
      { additionalProperties: false, description: 'When the webhook notification.fallback is sent, if nobody has looked by then' }
    )
  )
}
