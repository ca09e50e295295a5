import { setTimeout } from 'node:timers/promises'
import type { BroadcastCommand } from './arguments.ts'
import { callService, readAnswer } from './call-service.ts'
import { CommandError } from './credentials.ts'
import type { Output } from './output.ts'

/** Time between two looks at the progress, milliseconds: short for a bar that moves, longer for lines. */
const BAR_PERIOD_MS = 250
const LINE_PERIOD_MS = 1000

/** Longest time without an answer after which the command ends, milliseconds: longer than a restart of the service. */
const OUTAGE_MAX_MS = 60_000

const BAR_WIDTH = 30

/** The parts of the answer that are shown. */
interface Progress {
  status: 'running' | 'done' | 'cancelled'
  /** Number of the audience; null while it is not known. */
  members: number | null
  accepted: number
  parked: number
  rejected: number
  startedAt: number
  finishedAt: number | null
}

/**
 * Shows the progress of a broadcast until it has ended, or cancels it.
 *
 * @param origin of the service
 * @throws CommandError when the service refuses the request, or does not answer: at the first look, or later for a minute
 */
export async function broadcast({ id, cancel }: BroadcastCommand, origin: string, token: string, output: Output): Promise<void> {
  const url = `${origin}/v1/broadcasts/${encodeURIComponent(id)}`
  if (cancel) {
    await callService('DELETE', url, token)
    return output.talk(`cancelled ${id}: it is recalled from those who got it`)
  }
  const hasBar = output.isTerminal && !output.json
  let hasAnswered = false
  for (let shown = ''; ; ) {
    const look = (): Promise<Response> => callService('GET', url, token)
    const progress = await readAnswer<Progress>(await (hasAnswered ? repeatThroughOutage(look, output) : look()))
    hasAnswered = true
    const isEnded = progress.status !== 'running'
    if (hasBar && !isEnded) output.redraw(barOf(progress))
    if (hasBar && isEnded) output.redraw('')
    const line = lineOf(progress)
    if (isEnded || (!hasBar && line !== shown)) output.data(progress, line)
    if (isEnded) return
    shown = line
    await setTimeout(hasBar ? BAR_PERIOD_MS : LINE_PERIOD_MS)
  }
}

/** Repeats a request that failed for now, and says so once. Rejects with the last error after `OUTAGE_MAX_MS`. */
async function repeatThroughOutage(look: () => Promise<Response>, output: Output): Promise<Response> {
  const deadline = performance.now() + OUTAGE_MAX_MS
  for (let failures = 0; ; failures++) {
    try {
      return await look()
    } catch (error) {
      if (!(error instanceof CommandError && error.temporary) || performance.now() > deadline) throw error
      if (failures === 0) output.talk(`${error.message}; the broadcast may go on, looking again`)
      await setTimeout(LINE_PERIOD_MS)
    }
  }
}

/** Returns the bar: `[=====     ] 41,500 of 100,000`; while the size of the audience is not known, the count alone. */
export function barOf({ members, accepted, parked, rejected }: Pick<Progress, 'members' | 'accepted' | 'parked' | 'rejected'>): string {
  const settled = accepted + parked + rejected
  if (members === null) return `${grouped(settled)} members so far`
  const filled = members === 0 ? BAR_WIDTH : Math.floor((settled / members) * BAR_WIDTH)
  return `[${'='.repeat(filled).padEnd(BAR_WIDTH)}] ${grouped(settled)} of ${grouped(members)}`
}

function lineOf({ status, members, accepted, parked, rejected, startedAt, finishedAt }: Progress): string {
  const counts = `${status}  accepted ${accepted}  parked ${parked}  rejected ${rejected}`
  const size = members === null ? '' : `  of ${members}`
  return finishedAt === null ? counts + size : `${counts}${size}  in ${((finishedAt - startedAt) / 1000).toFixed(1)} s`
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}
