/** Result of one run. Times are milliseconds. */
export interface Result {
  label: string
  average: number
  p50: number
  p99: number
  max: number
  /** Notifications that were published and not received within the wait. */
  lost: number
  /** Receipts beyond the first of each notification. */
  duplicated: number
  /** Publishes that were not answered with 202. */
  refused: number
  /** Lateness of the generator's publishes at the 99th percentile. The latencies above include it. */
  lateP99: number
}

/** Records due times and receipts. The latency of a notification counts from its due time, even if it was sent late. */
export class Tally {
  readonly #due: Float64Array
  readonly #received: Uint32Array
  readonly #latencies: number[] = []
  readonly #lateness: number[] = []
  readonly #refused = new Set<number>()

  constructor(count: number) {
    this.#due = new Float64Array(count)
    this.#received = new Uint32Array(count)
  }

  /** Records that notification `index` was due at `due` and is sent at `now`. */
  sent(index: number, due: number, now: number): void {
    this.#due[index] = due
    this.#lateness.push(now - due)
  }

  received(index: number, now: number): void {
    const times = this.#received[index]
    if (times === undefined) return
    this.#received[index] = times + 1
    if (times === 0) this.#latencies.push(now - (this.#due[index] as number))
  }

  /** Records that the publish was not answered with 202. Its outcome is unknown, so it does not count as lost. */
  refused(index: number): void {
    this.#refused.add(index)
  }

  /** Number of notifications that may still arrive. */
  get missing(): number {
    return this.#received.filter((times, index) => times === 0 && !this.#refused.has(index)).length
  }

  result(label: string): Result {
    const sorted = [...this.#latencies].sort((a, b) => a - b)
    const total = sorted.reduce((sum, latency) => sum + latency, 0)
    return {
      label,
      average: sorted.length === 0 ? Number.NaN : total / sorted.length,
      p50: percentile(sorted, 50),
      p99: percentile(sorted, 99),
      max: percentile(sorted, 100),
      lost: this.missing,
      duplicated: this.#received.reduce((sum, times) => sum + Math.max(0, times - 1), 0),
      refused: this.#refused.size,
      lateP99: percentile(
        this.#lateness.toSorted((a, b) => a - b),
        99
      )
    }
  }
}

/** Returns the smallest value that at least `percent` % of the values do not exceed; NaN for an empty list. */
export function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN
}

/**
 * Milliseconds from publish to receipt that the author of the pattern in docs/explanation/comparison.md published for it: two nodes, one
 * Redis channel, 1,000 random users. The author states neither rate nor method, so they are a mark to compare with, not a measurement of ours.
 */
export const PUBLISHED_FIGURES = { average: 28, p99: 67, max: 142 }

const HEADINGS = ['milliseconds', 'average', 'P50', 'P99', 'max', 'lost', 'duplicated', 'generator late, P99']

/** Formats the results as a table, with the published figures of the pattern in the last row. */
export function table(results: readonly Result[]): string {
  const rows = results.map(({ label, average, p50, p99, max, lost, duplicated, lateP99 }) => [
    label,
    ...[average, p50, p99, max].map((value) => value.toFixed(1)),
    String(lost),
    String(duplicated),
    lateP99.toFixed(1)
  ])
  const { average, p99, max } = PUBLISHED_FIGURES
  const published = ['the pattern it replaces, two nodes', String(average), '', String(p99), String(max), '', '', '']
  const all = [HEADINGS, ...rows, published]
  const widths = HEADINGS.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return `${all.map(line).join('\n')}\n`
}

/** Returns a line for each kind of fault; empty if every notification arrived exactly once. */
export function faults(results: readonly Result[]): string[] {
  return results.flatMap(({ label, lost, duplicated, refused }) =>
    [
      lost > 0 ? `${label}: ${lost} lost` : '',
      duplicated > 0 ? `${label}: ${duplicated} duplicated` : '',
      refused > 0 ? `${label}: ${refused} publishes refused` : ''
    ].filter((fault) => fault !== '')
  )
}
