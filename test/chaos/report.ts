import { type Breach, takenBy } from './checker.ts'
import type { Journal } from './journal.ts'
import { type Lateness, lateness } from './lateness.ts'
import type { BusKind, FaultKind, StoreKind } from './schedule.ts'
import { gapsOf, shownOf } from './user-view.ts'

/** The result of a run in numbers. */
export interface Summary {
  store: StoreKind
  bus: BusKind
  seed: number
  seconds: number
  /** Number of faults by kind. */
  faults: Partial<Record<FaultKind, number>>
  accepted: number
  parked: number
  /** Publishes that no node answered in time; their outcome is unknown. */
  unknown: number
  /** Attempts without an answer or with 503, which were retried. */
  retries: number
  delivered: number
  replayed: number
  gaps: number
  rows: number
  recalls: number
  /** Broadcasts that a node answered, their members, and how many of them were cancelled. */
  broadcasts: { published: number; members: number; cancelled: number }
  /** Accepted notifications with options, and what became of some of them. */
  options: { published: number; scheduled: number; expired: number; replaced: number; answered: number; answeredLate: number }
  /** Calls that receivers got, attempts among them that they did not take, and users who were erased. */
  calls: { pushes: number; webhooks: number; refused: number; erasures: number }
  lateness: Omit<Lateness, 'breaches'>
  stallMs: number
  breaches: number
  /** Number of breaches by rule. */
  rules: Record<string, number>
}

export function summarize(journal: Journal, faults: Map<FaultKind, number>, breaches: Breach[]): Summary {
  const taken = journal.publishes.map(takenBy)
  const shown = journal.devices.flatMap(shownOf)
  const rules: Record<string, number> = {}
  for (const { rule } of breaches) rules[rule] = (rules[rule] ?? 0) + 1
  const { breaches: _late, ...late } = lateness(journal)
  const attempts = journal.publishes.reduce((sum, publish) => sum + publish.attempts.length, 0)
  return {
    store: journal.store,
    bus: journal.bus,
    seed: journal.seed,
    seconds: journal.seconds,
    faults: Object.fromEntries([...faults].sort(([a], [b]) => (a < b ? -1 : 1))),
    accepted: taken.filter((attempt) => attempt !== undefined).length,
    parked: taken.filter((attempt) => attempt?.result.status === 'parked').length,
    unknown: taken.filter((attempt) => attempt === undefined).length,
    retries: attempts - journal.publishes.length,
    delivered: shown.length,
    replayed: shown.filter(({ replay }) => replay).length,
    gaps: journal.devices.flatMap(gapsOf).length,
    rows: journal.logs.reduce((sum, { rows }) => sum + rows.length, 0),
    recalls: journal.recalls.length,
    broadcasts: broadcastCounts(journal),
    options: optionCounts(journal),
    calls: callCounts(journal),
    lateness: late,
    stallMs: Math.round(journal.stallMs),
    breaches: breaches.length,
    rules
  }
}

function callCounts({ reach }: Journal): Summary['calls'] {
  const { calls = [], erasures = [] } = reach ?? {}
  const pushes = calls.filter(({ event }) => event === 'push').length
  return {
    pushes,
    webhooks: calls.length - pushes,
    refused: calls.filter(({ status }) => status !== 204).length,
    erasures: erasures.length
  }
}

function optionCounts({ publishes, logs, answers }: Journal): Summary['options'] {
  const optioned = publishes.filter((publish) => Object.keys(publish.options ?? {}).length > 0)
  const rows = logs.flatMap((log) => log.rows)
  return {
    published: optioned.filter((publish) => takenBy(publish) !== undefined).length,
    scheduled: optioned.filter((publish) => takenBy(publish)?.result.status === 'scheduled').length,
    expired: rows.filter(({ kind, reason }) => kind === 'r' && reason === 'expired').length,
    replaced: rows.filter(({ options }) => options?.replaces !== undefined).length,
    answered: rows.filter(({ kind }) => kind === 'a').length,
    answeredLate: answers.filter(({ outcome }) => outcome === 'late').length
  }
}

function broadcastCounts({ broadcasts }: Journal): Summary['broadcasts'] {
  const known = broadcasts.filter(({ id }) => id !== '')
  return {
    published: known.length,
    members: known.reduce((sum, { members }) => sum + members.length, 0),
    cancelled: known.filter(({ isCancelled }) => isCancelled).length
  }
}

/** Returns the counts as lines of text. */
export function countsText(summary: Summary): string {
  const { accepted, parked, unknown, retries, delivered, replayed, gaps, rows, recalls, lateness, stallMs } = summary
  const { broadcasts, options, calls } = summary
  const faults = Object.entries(summary.faults).map(([kind, count]) => `${count} ${kind}`)
  return [
    runText(summary),
    `faults: ${faults.length === 0 ? 'none' : faults.join(', ')}`,
    `published: ${accepted} accepted (${parked} of them parked), ${unknown} with an outcome never known, ${retries} retries, ${recalls} recalls`,
    `broadcasts: ${broadcasts.published} to ${broadcasts.members} members, ${broadcasts.cancelled} of them cancelled`,
    `options: ${options.published} with options; ${options.scheduled} scheduled, ${options.expired} expired in the log, ${options.replaced} in the place of another, ${options.answered} answered (${options.answeredLate} answers were late)`,
    `calls: ${calls.pushes} pushes and ${calls.webhooks} webhooks arrived, ${calls.refused} of them were not taken; ${calls.erasures} users were erased`,
    `delivered: ${delivered} shown (${replayed} from the log), ${gaps} gaps told, ${rows} rows in the logs`,
    `late: ${lateness.measured} measured, P50 ${lateness.p50} ms, P99 ${lateness.p99} ms, at most ${lateness.max} ms (this process stood still for ${stallMs} ms at most)`
  ].join('\n')
}

/** Returns the verdict in one line. */
export function verdict(summary: Summary): string {
  const { accepted, delivered } = summary
  if (summary.breaches === 0)
    return `chaos: clean, ${accepted} accepted, ${delivered} shown, 0 lost, 0 twice, 0 out of order (${runText(summary)})`
  const rules = Object.entries(summary.rules).map(([rule, count]) => `${rule} ${count}`)
  return `chaos: BREACH of ${rules.join(', ')} (${runText(summary)})`
}

function runText({ store, bus, seed, seconds }: Summary): string {
  return `${store}${bus === 'nats' ? ' with NATS' : ''}, seed ${seed}, ${seconds} s`
}
