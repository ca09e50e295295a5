import type { Comparison } from '../interleave.ts'
import type { Peer } from '../peers/peer.ts'

/** What a measure may use. */
export interface Bench {
  /** Those that run here, but for Belfry. */
  peers: readonly Peer[]
  /** A tenth of everything: to see that it works, not for the record. */
  quick: boolean
  /** A number of things to do, a tenth of it when quick. */
  amount(full: number): number
  /** Pairs of an interleaved measure. */
  pairs: number
  /** Says how far it is. */
  say(text: string): void
}

/** One figure of one program. */
export interface Figure {
  label: string
  value: number
  note?: string
}

/** A figure held to a goal. */
export interface Verdict {
  what: string
  value: number
  goal: string
  met: boolean
}

export interface Outcome {
  unit: string
  figures: Figure[]
  verdicts: Verdict[]
  notes: string[]
}

/** One measure of the benchmark. */
export interface Measure {
  name: string
  title: string
  run(bench: Bench): Promise<Outcome>
}

export function atMost(what: string, value: number, limit: number, unit = ''): Verdict {
  return { what, value, goal: `<= ${limit}${unit === '' ? '' : ` ${unit}`}`, met: value <= limit }
}

export function atLeast(what: string, value: number, limit: number, unit = ''): Verdict {
  return { what, value, goal: `>= ${limit}${unit === '' ? '' : ` ${unit}`}`, met: value >= limit }
}

/** What to say of an interleaved comparison. */
export function noteOf(label: string, { ratio, low, high, pairs, flaws }: Comparison): string {
  const range = `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}, ${pairs} pairs)`
  const reasons = [...new Set(flaws.map((flaw) => flaw.replace(/ \(.*/, '')))].join(', ')
  const left = flaws.length === 0 ? '' : pairs === 0 ? `; VOID, all pairs flawed: ${reasons}` : `; ${flaws.length} left out: ${reasons}`
  return `to ${label}: ${range}${left}`
}
