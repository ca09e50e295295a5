import type { Readable } from 'node:stream'
import { Belfry, type ClientStorage } from '../packages/client/src/index.ts'
import { closeCodes, DEFAULT_DEVICE, EARLIEST, LATEST, parseEventId } from '../services/protocol/index.ts'
import { answerLines } from './answer-lines.ts'
import { type ListenCommand, UsageError } from './arguments.ts'
import { reasonOf, remedyFor } from './call-service.ts'
import { CommandError } from './credentials.ts'
import { observedWebSocket } from './observed-socket.ts'
import type { Output } from './output.ts'

interface TokenSource {
  /** Called for each token that the client needs. */
  token: () => string
  /** True if another call gives another token. If false, a refused token ends the command. */
  renewable: boolean
}

/**
 * Prints the notifications of a user, and what happens to them, until `signal` is aborted. The SDK connects, resumes and acknowledges. Lines
 * `a <id> <action>` of the input answer notifications.
 *
 * @param origin of the service, http or https
 * @param input a terminal; undefined: nothing is answered
 * @throws CommandError when another attempt would change nothing; UsageError for a `from` that is no position
 */
export async function listen(
  command: ListenCommand,
  origin: string,
  tokens: TokenSource,
  output: Output,
  signal: AbortSignal,
  input?: Readable
): Promise<void> {
  const { device = DEFAULT_DEVICE, from } = command
  if (from !== undefined && ![EARLIEST, LATEST].includes(from) && parseEventId(from) === undefined) {
    throw new UsageError('--from must be earliest, latest or an event id')
  }
  let start = from
  /** Why the attempt under way failed, as the socket says it. */
  let problem = ''
  /** The remedy is due. It is printed once, and only before the first connection: later the address is known to be right. */
  let isRemedyDue = true
  await new Promise<void>((resolve, reject) => {
    const WebSocket = observedWebSocket({
      opening: () => {
        problem = ''
      },
      greeted({ user, deviceId, resume, unread }) {
        isRemedyDue = false
        output.talk(`connected as ${user} (device ${deviceId}): ${resume.pending} pending, ${resume.parked} parked, ${unread} unread`)
        // Only the first connection starts at the end of the log: later ones must not skip what came between.
        if (start === LATEST) start = resume.from || EARLIEST
      },
      refused(status) {
        problem = `the service refused the connection with ${status}`
        if (status < 500 && status !== 429) end(new CommandError(problem))
      },
      failed: (message) => {
        problem ||= reasonOf({ message })
        // Ctrl-C closes a WebSocket that is not open yet, which is no fault of the service.
        if (isRemedyDue && !signal.aborted)
          output.talk(`no answer from ${origin} (${problem}): ${remedyFor(problem, new URL(origin).protocol)}`)
        isRemedyDue = false
      }
    })
    const belfry = new Belfry(origin, { getToken: tokens.token, deviceId: device, WebSocket, storage: storageFrom(() => start) })
    const answering = input && answerLines(input, belfry, output)
    const end = (error?: unknown): void => {
      answering?.close()
      belfry.disconnect()
      if (error === undefined) resolve()
      else reject(error)
    }
    printEvents(belfry, output)
    belfry.on('retry', ({ waitMs, code, reason }) => {
      if (code === closeCodes.unauthorized.code && !tokens.renewable) return end(new CommandError(endingOf(code, reason)))
      output.talk(`${endingOf(code, reason, problem)}; again in ${(waitMs / 1000).toFixed(1)} s`)
    })
    belfry.on('terminal', ({ code, reason }) => end(new CommandError(endingOf(code, reason))))
    belfry.on('error', ({ code, message, cause }) => {
      if (code === 'BELFRY_CLIENT_HANDLER') end(cause)
      else if (code === 'BELFRY_CLIENT_TOKEN' && belfry.state !== 'connected') {
        end(cause instanceof CommandError ? cause : new CommandError(message))
      }
    })
    signal.addEventListener('abort', () => end())
    belfry.connect()
  })
}

/** Prints each event as the frame that brought it. */
function printEvents(belfry: Belfry, output: Output): void {
  const rowOf = ({ eventId, replay }: { eventId: string; replay: boolean }) => ({ eventId, ...(replay ? { replay } : {}) })
  const countsOf = ({ unread, unseen }: { unread: number; unseen: number }) => ({ unread, unseen })
  belfry.on('notification', (ctx) => {
    const { answered, notification, state } = ctx
    const changes = { ...(state !== 'unread' && { state }), ...(answered !== undefined && { answer: answered }) }
    output.frame({ type: 'notification', ...rowOf(ctx), ...changes, notification })
  })
  belfry.on('answered', (ctx) => {
    const { id, action, answeredAt, deviceId } = ctx
    output.frame({ type: 'answered', ...rowOf(ctx), id, action, answeredAt, deviceId, ...countsOf(ctx) })
  })
  belfry.on('marked', (ctx) => output.frame({ type: 'state', ...rowOf(ctx), ids: ctx.ids, state: ctx.state, ...countsOf(ctx) }))
  belfry.on('retract', (ctx) => output.frame({ type: 'retract', ...rowOf(ctx), id: ctx.id, reason: ctx.reason, ...countsOf(ctx) }))
  belfry.on('digest', (ctx) => output.frame({ type: 'digest', ...rowOf(ctx), count: ctx.count, ids: ctx.ids, ...countsOf(ctx) }))
  belfry.on('gap', ({ reason, from, to, count }) => output.frame({ type: 'gap', reason, from, to, count }))
  belfry.on('transport', ({ transport }) => {
    if (transport === 'sse') output.talk('connected by server-sent events, since WebSockets do not open')
  })
}

/**
 * Returns how a connection ended, in words.
 *
 * @param problem why the last WebSocket failed. It may be older than a connection by server-sent events, so a close code of the service comes first
 */
function endingOf(code: number, reason: string, problem = ''): string {
  if (reason === 'silence') return 'the service fell silent'
  return code === 1006 ? problem || 'the connection broke' : `closed with ${code} ${reason}`.trimEnd()
}

/** Returns a storage in memory that gives `start()` as the place in the log until the client has another. */
function storageFrom(start: () => string | undefined): ClientStorage {
  const values = new Map<string, string>()
  return {
    getItem: (key) => values.get(key) ?? (key.endsWith(':last') ? (start() ?? null) : null),
    setItem: (key, value) => void values.set(key, value)
  }
}
