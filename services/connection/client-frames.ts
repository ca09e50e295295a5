import { TokenError, type VerifyToken } from '../auth/tokens.ts'
import { type BelfryError, errors, isBelfryError, refusals } from '../errors.ts'
import { type Answer, type AnswerFrame, type MarkFrame, parseEventId, type RefreshFrame, STATES, type State } from '../protocol/index.ts'
import { isRevokedIn } from '../store/revocation.ts'
import type { MarkCommand } from '../store/store.ts'
import { type AnswerContext, answerNotification } from './answer.ts'
import type { Connection } from './connection.ts'
import { plainFrame } from './frames.ts'

/** Delay after which a client may repeat a frame that failed temporarily, if the error names none, milliseconds. */
const RETRY_AFTER_MS = 1000

/** The frames that are answered. */
const CALLS = { mark, answer, refresh }

export interface ClientFrameContext extends AnswerContext {
  readonly verify: VerifyToken
}

/**
 * Takes one text frame of a client. Text that is not a frame of the protocol closes the connection with 4006, too many frames
 * with 4102. A frame that fails is answered with `error`.
 *
 * @param now on the monotonic clock, milliseconds
 */
export function takeClientFrame(context: ClientFrameContext, connection: Connection, text: string, now: number): void {
  if (!connection.isOpen) return
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
    case 'answer':
    case 'refresh':
      if (isRef(frame.ref)) void CALLS[frame.type](context, connection, frame)
      else refuse(connection, undefined, new errors.InvalidRequest('ref must be from -(2^53 - 1) to 2^53 - 1'))
      return
    case 'pong':
      return
    default:
      connection.close('protocolError')
  }
}

/** Takes a control frame of a client. A ping, and a pong that answers no ping of this node, count towards the limit on frames. */
export function takeControlFrame(connection: Connection, kind: 'ping' | 'pong', now: number): void {
  connection.heartbeat.heard()
  if (kind === 'ping' || !connection.heartbeat.answersPing('control')) countFrame(connection, now)
}

/** Counts a frame, and closes the connection if the frame exceeds the limit. Returns whether the connection is open. */
function countFrame(connection: Connection, now: number): boolean {
  if (connection.isOpen && !connection.heartbeat.countFrame(now)) connection.close('tooManyFrames')
  return connection.isOpen
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
  const { ageMs, only, state } = frame
  const isValid = (only === undefined || isState(only)) && (ageMs === undefined || (Number.isSafeInteger(ageMs) && ageMs >= 0))
  if (target === undefined || !isState(state) || !isValid) {
    const needs = 'mark needs ids or upTo, a state, no only or one that is a state, and no ageMs or one that is 0 or more'
    refuse(connection, frame.ref, new errors.InvalidRequest(needs))
    return
  }
  try {
    const result = await store.mark({ user: connection.local.user, target, state, only, ageMs })
    if (result === 'restarted') throw new errors.LogRestarted()
    const { ids, unread, unseen } = result
    const { durability } = store.status()
    connection.send(plainFrame({ type: 'ok', ...ref(frame.ref), ...(only !== undefined && { ids }), unread, unseen, durability }))
  } catch (error) {
    refuse(connection, frame.ref, error)
  }
}

function isState(value: unknown): value is State {
  return (STATES as readonly unknown[]).includes(value)
}

function targetOf({ ids, upTo }: Partial<MarkFrame>): MarkCommand['target'] | undefined {
  if (Array.isArray(ids) && upTo === undefined) return ids.length > 0 && ids.every((id) => typeof id === 'string') ? { ids } : undefined
  const position = typeof upTo === 'string' && ids === undefined ? parseEventId(upTo) : undefined
  return position === undefined ? undefined : { upTo: position }
}

async function answer(context: ClientFrameContext, connection: Connection, frame: Partial<AnswerFrame>): Promise<void> {
  const { action, id } = frame
  try {
    if (typeof id !== 'string' || typeof action !== 'string')
      throw new errors.InvalidRequest('answer needs the id of a notification, and an action')
    const { user } = connection.local
    const answer = await answerNotification(context, { user, id, action, deviceId: connection.deviceId })
    connection.send(plainFrame({ type: 'ok', ...ref(frame.ref), id, ...answer, durability: context.store.status().durability }))
  } catch (error) {
    refuse(connection, frame.ref, error)
  }
}

async function refresh({ store, verify }: ClientFrameContext, connection: Connection, frame: Partial<RefreshFrame>): Promise<void> {
  try {
    const claims = await verify(typeof frame.token === 'string' ? frame.token : '')
    if (claims.sub !== connection.local.user) throw new TokenError('token_invalid')
    if (await isRevokedIn(store, claims)) throw new TokenError('token_revoked')
    connection.renewToken(claims.issuedAt, claims.expiresAt)
    connection.send(plainFrame({ type: 'ok', ...ref(frame.ref), tokenExpiresAt: claims.expiresAt }))
  } catch (error) {
    refuse(connection, frame.ref, error instanceof TokenError ? refusals[error.refusal]() : error)
  }
}

/** Returns whether `ok` and `error` can carry a `ref` back unchanged. What is not a number counts as no `ref`. */
function isRef(value: unknown): boolean {
  return typeof value !== 'number' || Math.abs(value) <= Number.MAX_SAFE_INTEGER
}

/** Answers a frame with its error. Only errors of status 503 are temporary. */
function refuse(connection: Connection, number: unknown, error: unknown): void {
  const { code, message, statusCode } = shown(error)
  const temporary = statusCode === 503
  const { answer, retryAfterMs = RETRY_AFTER_MS } = error as { answer?: Answer; retryAfterMs?: number }
  const details = { ...(temporary && { retryAfterMs }), ...(answer !== undefined && { answer }) }
  connection.send(plainFrame({ type: 'error', ...ref(number), code, message, temporary, ...details }))
}

function shown(error: unknown): BelfryError {
  return isBelfryError(error) ? (error as BelfryError) : new errors.Internal()
}

function ref(number: unknown): { ref?: number } {
  return typeof number === 'number' ? { ref: number } : {}
}
