import { TokenError, type VerifyToken } from '../auth/tokens.ts'
import { type BelfryError, errors, refusals } from '../errors.ts'
import type { Counters } from '../node/counters.ts'
import { type MarkFrame, parseEventId, type RefreshFrame, type State } from '../protocol/index.ts'
import { isRevoked } from '../store/revocation.ts'
import type { MarkCommand, Store } from '../store/store.ts'
import type { Connection } from './connection.ts'
import { plainFrame } from './frames.ts'

/** When a frame that could not be carried out for now may be sent again, milliseconds. */
const RETRY_AFTER_MS = 1000

const STATES: readonly unknown[] = ['unread', 'seen', 'read', 'archived'] satisfies State[]

export interface ClientFrameContext {
  readonly store: Store
  readonly counters: Counters
  readonly verify: VerifyToken
}

/**
 * Takes one text frame of a client. Text that is no frame of the protocol closes the connection with 4006, too many frames with 4102. A frame
 * that could not be carried out is answered with `error`.
 *
 * @param now on the monotonic clock, milliseconds
 */
export function takeClientFrame(context: ClientFrameContext, connection: Connection, text: string, now: number): void {
  if (!connection.open) return
  connection.heartbeat.heard()
  const frame = parse(text)
  if (frame?.type === 'ack' && typeof frame.eventId === 'string' && connection.ack(frame.eventId)) return
  if (frame?.type === 'pong' && connection.heartbeat.answersPing('frame')) return
  if (!countFrame(connection, now)) return
  switch (frame?.type) {
    case 'ack':
      if (typeof frame.eventId !== 'string') connection.close('protocolError')
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

/** Takes a control frame of a client that counts as its text frames do: a ping, or a pong that answers no ping of ours. */
export function takeControlFrame(connection: Connection, kind: 'ping' | 'pong', now: number): void {
  connection.heartbeat.heard()
  if (kind === 'ping' || !connection.heartbeat.answersPing('control')) countFrame(connection, now)
}

/** Counts a frame. Returns false if the connection is closed, or is closed for this one. */
function countFrame(connection: Connection, now: number): boolean {
  if (connection.open && !connection.heartbeat.countFrame(now)) connection.close('tooManyFrames')
  return connection.open
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
  const { ageMs } = frame
  if (target === undefined || !STATES.includes(frame.state) || !(ageMs === undefined || (Number.isSafeInteger(ageMs) && ageMs >= 0))) {
    refuse(connection, frame.ref, new errors.InvalidRequest('mark needs ids or upTo, a state, and no ageMs or one that is 0 or more'))
    return
  }
  try {
    const result = await store.mark({ user: connection.local.user, target, state: frame.state as State, ageMs })
    if (result === 'restarted') throw new errors.LogRestarted()
    const { durability } = store.status()
    connection.send(plainFrame({ type: 'ok', ...ref(frame.ref), unread: result.unread, durability }))
  } catch (error) {
    refuse(connection, frame.ref, error)
  }
}

function targetOf({ ids, upTo }: Partial<MarkFrame>): MarkCommand['target'] | undefined {
  if (Array.isArray(ids) && upTo === undefined) return ids.length > 0 && ids.every((id) => typeof id === 'string') ? { ids } : undefined
  const position = typeof upTo === 'string' && ids === undefined ? parseEventId(upTo) : undefined
  return position === undefined ? undefined : { upTo: position }
}

async function refresh({ store, verify }: ClientFrameContext, connection: Connection, frame: Partial<RefreshFrame>): Promise<void> {
  try {
    const claims = await verify(typeof frame.token === 'string' ? frame.token : '')
    if (claims.sub !== connection.local.user) throw new TokenError('token_invalid')
    if (isRevoked(claims.issuedAt, await store.revokedBefore(claims.sub))) throw new TokenError('token_revoked')
    connection.renewToken(claims.issuedAt, claims.expiresAt)
    connection.send(plainFrame({ type: 'ok', ...ref(frame.ref), tokenExpiresAt: claims.expiresAt }))
  } catch (error) {
    refuse(connection, frame.ref, error instanceof TokenError ? refusals[error.refusal]() : error)
  }
}

/** Says why a frame was not carried out. Only what is away for a while is worth another try. */
function refuse(connection: Connection, number: unknown, error: unknown): void {
  const { code, message, statusCode } = shown(error)
  const temporary = statusCode === 503
  const retryAfterMs = (error as { retryAfterMs?: number }).retryAfterMs ?? RETRY_AFTER_MS
  connection.send(plainFrame({ type: 'error', ...ref(number), code, message, temporary, ...(temporary ? { retryAfterMs } : {}) }))
}

/** Text of errors that are not ours never leaves the process. */
function shown(error: unknown): BelfryError {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && code.startsWith('BELFRY_ERR_') ? (error as BelfryError) : new errors.Internal()
}

function ref(number: unknown): { ref?: number } {
  return typeof number === 'number' ? { ref: number } : {}
}
