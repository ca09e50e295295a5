import { setTimeout as sleep } from 'node:timers/promises'
import { EARLIEST, LATEST, parseEventId, type ServerFrame, verdictOf } from '../services/protocol/index.ts'
import { type ListenCommand, UsageError } from './arguments.ts'
import { CommandError } from './credentials.ts'
import { type Ending, follow } from './follow.ts'
import type { Output } from './output.ts'

/** The back-off: full jitter below a ceiling that doubles with each attempt, milliseconds. */
const BACKOFF_FIRST_MS = 500
const BACKOFF_CEILING_MS = 30_000

/** Where a listener gets its tokens. */
export interface TokenSource {
  /** Called for each connection. */
  token: () => string
  /** Whether another call gives another token: an expired one is no reason to stop then. */
  renewable: boolean
}

/**
 * Prints what a user gets until `signal` is aborted. Comes back by the verdict of each close code, and resumes after the last event it saw.
 *
 * @param origin of the service, http or https
 * @throws CommandError when the service says not to come back; UsageError for a `from` that is no position
 */
export async function listen(
  command: ListenCommand,
  origin: string,
  tokens: TokenSource,
  output: Output,
  signal: AbortSignal
): Promise<void> {
  const { device, from } = command
  if (from !== undefined && ![EARLIEST, LATEST].includes(from) && parseEventId(from) === undefined) {
    throw new UsageError('--from must be earliest, latest or an event id')
  }
  let lastEventId = from
  let attempt = 0
  const onFrame = (frame: ServerFrame): void => {
    if (frame.type === 'hello') {
      attempt = 0
      const { user, deviceId, resume, unread } = frame
      output.talk(`connected as ${user} (device ${deviceId}): ${resume.pending} pending, ${resume.parked} parked, ${unread} unread`)
      if (lastEventId === LATEST) lastEventId = resume.from
    } else if (frame.type === 'gap') output.frame(frame)
    else if (frame.type === 'caughtUp') lastEventId = frame.eventId || lastEventId
    else if ('eventId' in frame) {
      lastEventId = frame.eventId
      output.frame(frame)
    }
  }
  while (!signal.aborted) {
    const ending = await follow(socketUrl(origin, device, lastEventId), tokens.token(), device !== undefined, onFrame, signal)
    if (signal.aborted) return
    const waitMs = comeBackIn(ending, attempt, tokens.renewable)
    attempt += 1
    output.talk(`${ending.reason}; again in ${(waitMs / 1000).toFixed(1)} s`)
    await sleep(waitMs, undefined, { signal }).catch(() => undefined)
  }
}

/**
 * How long to wait before the next connection, milliseconds.
 *
 * @param attempt connections since one was greeted
 * @throws CommandError when the verdict is not to come back
 */
export function comeBackIn(ending: Ending, attempt: number, renewable: boolean, random = Math.random()): number {
  const backOff = Math.max(ending.retryAfterMs, random * Math.min(BACKOFF_CEILING_MS, BACKOFF_FIRST_MS * 2 ** attempt))
  if (ending.status !== undefined) {
    if (ending.status >= 500 || ending.status === 429) return backOff
    throw new CommandError(ending.reason)
  }
  if (renewable && ending.greeted && ending.reason.endsWith('token_expired')) return 0
  switch (verdictOf(ending.code)) {
    case 'stop':
      throw new CommandError(ending.reason)
    case 'now':
      return ending.greeted ? ending.reconnectInMs : backOff
    case 'back-off':
      return backOff
  }
}

function socketUrl(origin: string, device: string | undefined, lastEventId: string | undefined): string {
  const url = new URL(`${origin.replace(/^http/, 'ws')}/v1/ws`)
  if (device !== undefined) url.searchParams.set('device_id', device)
  if (lastEventId !== undefined) url.searchParams.set('last_event_id', lastEventId)
  return url.href
}
