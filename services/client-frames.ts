import type { Connection } from './connection.ts'
import type { Counters } from './counters.ts'
import { plainFrame } from './frames.ts'
import { type MarkFrame, parseEventId, type RefreshFrame, type State } from './protocol/index.ts'
import type { MarkCommand, Store } from './store/store.ts'
import { TokenError, type VerifyToken } from './tokens.ts'

/** Frames a client may send in one second. */
export const MAX_FRAMES_PER_SECOND = 50

const STATES: readonly unknown[] = ['unread', 'seen', 'read', 'archived'] satisfies State[]

export interface ClientFrameContext {
  readonly store: Store
  readonly counters: Counters
  readonly verify: VerifyToken
}

/**
 * Takes one text frame of a client. What is no frame of the protocol closes the connection with 4006, too many of them with 4102; a frame
 * that could not be carried out is answered with `error`.
 */
export function takeClientFrame(context: ClientFrameContext, connection: Connection, text: string, now: number): void {
  connection.heardAt = now
  if (!withinRate(connection, now)) return connection.close('tooManyFrames')
  const frame = parse(text)
  if (frame === undefined) return connection.close('protocolError')
  switch (frame.type) {
    case 'ack':
      if (typeof frame.eventId === 'string') connection.ack(frame.eventId)
      else connection.close('protocolError')
      return
    case 'mark':
      void mark(context, connection, frame as Partial<MarkFrame>)
      return
    case 'refresh':
      void refresh(context, connection, frame as Partial<RefreshFrame>)
      return
    case 'pong':
      return
    default:
      connection.close('protocolError')
  }
}

function withinRate(connection: Connection, now: number): boolean {
  const second = Math.floor(now / 1000)
  if (second !== connection.heardSecond) {
    connection.heardSecond = second
    connection.framesHeard = 0
  }
  connection.framesHeard += 1
  return connection.framesHeard <= MAX_FRAMES_PER_SECOND
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const frame: unknown = JSON.parse(text)
    return typeof frame === 'object' && frame !== null && !Array.isArray(frame) ? (frame as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

async function mark({ store }: ClientFrameContext, connection: Connection, frame: Partial<MarkFrame>): Promise<void> {
  const target = targetOf(frame)
  if (target === undefined || !STATES.includes(frame.state)) {
    refuse(connection, frame.ref, 'BELFRY_ERR_INVALID_REQUEST', 'mark needs ids or upTo, and a state', false)
    return
  }
  try {
    const { unread } = await store.mark({ user: connection.local.user, target, state: frame.state as State })
    connection.send(plainFrame({ type: 'ok', ...ref(frame.ref), unread }))
  } catch (error) {
    refuse(connection, frame.ref, codeOf(error), 'the store did not take it', true, 1000)
  }
}

function targetOf({ ids, upTo }: Partial<MarkFrame>): MarkCommand['target'] | undefined {
  if (Array.isArray(ids) && upTo === undefined) return ids.every((id) => typeof id === 'string') ? { ids } : undefined
  const position = typeof upTo === 'string' && ids === undefined ? parseEventId(upTo) : undefined
  return position === undefined ? undefined : { upTo: position }
}

async function refresh({ verify }: ClientFrameContext, connection: Connection, frame: Partial<RefreshFrame>): Promise<void> {
  try {
    const claims = await verify(typeof frame.token === 'string' ? frame.token : '')
    if (claims.sub !== connection.local.user) throw new TokenError('token_invalid')
    connection.expiresAt = claims.expiresAt
    connection.send(plainFrame({ type: 'ok', ...ref(frame.ref), tokenExpiresAt: claims.expiresAt }))
  } catch (error) {
    const refusal = error instanceof TokenError ? error.refusal : 'token_invalid'
    refuse(connection, frame.ref, `BELFRY_ERR_${refusal.toUpperCase()}`, 'the token is not one for this user', false)
  }
}

function refuse(connection: Connection, number: unknown, code: string, message: string, temporary: boolean, retryAfterMs?: number): void {
  connection.send(
    plainFrame({ type: 'error', ...ref(number), code, message, temporary, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
  )
}

function ref(number: unknown): { ref?: number } {
  return typeof number === 'number' ? { ref: number } : {}
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? 'BELFRY_ERR_INTERNAL'
}
