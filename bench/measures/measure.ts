import type { Comparison } from '../interleave.ts'
import type { Peer } from '../peers/peer.ts'

/** Settings and helpers of a measure. */
export interface Bench {
  /** Programs to compare with Belfry; all of them can run on this machine. */
  peers: readonly Peer[]
  /** A quick run with a tenth of all amounts, which checks that the measures work. Its figures are not results. */
  quick: boolean
  /** Returns `full`, or a tenth of it in a quick run. */
  amount(full: number): number
  /** Number of pairs of an interleaved measure. */
  pairs: number
  /** Prints progress. */
  say(text: string): void
}

/** One figure of one program. */
export interface Figure {
  label: string
  value: number
  note?: string
}

/** A figure compared with its goal. */
export interface Verdict {
  what: string
  value: number
  goal: string
  met: boolean
}

/** Result of a measure. */
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

/** Returns the verdict on a value that must not exceed `limit`. */
export function atMost(what: string, value: number, limit: number, unit = ''): Verdict {
  return { what, value, goal: `<= ${limit}${unit === '' ? '' : ` ${unit}`}`, met: value <= limit }
}

/** Returns the verdict on a value that must reach `limit`. */
export function atLeast(what: string, value: number, limit: number, unit = ''): Verdict {
  return { what, value, goal: `>= ${limit}${unit === '' ? '' : ` ${unit}`}`, met: value >= limit }
}

/** Formats an interleaved comparison as a note. */
export function noteOf(label: string, { ratio, low, high, pairs, flaws }: Comparison): string {
  const range = `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}, ${pairs} pairs)`
  const reasons = [...new Set(flaws.map((flaw) => flaw.replace(/ \(.*/, '')))].join(', ')
  const excluded = flaws.length === 0 ? '' : pairs === 0 ? `; VOID, no valid pair: ${reasons}` : `; ${flaws.length} left out: ${reasons}`
  return `ratio to ${label}: ${range}${excluded}`
}
