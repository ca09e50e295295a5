/** What became of one run. Times are milliseconds. */
export interface Result {
  label: string
  average: number
  p50: number
  p99: number
  max: number
  /** Published, and not received within the wait. */
  lost: number
  /** Received more often than once. */
  duplicated: number
  /** Publishes that were not answered with 202. */
  refused: number
  /** How late the generator itself was with a publish, at the 99th percentile. It is part of the latencies above. */
  lateP99: number
}

/** Counts what is due and what arrives; a notification's latency is from when it was due, however late it was sent. */
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

  /** Notification `index` was to be sent at `due` and is sent at `now`. */
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

  /** The publish was not answered with 202: what became of it is not known. */
  refused(index: number): void {
    this.#refused.add(index)
  }

  /** How many may still come. */
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

/** The smallest value that at least `percent` of them do not exceed; NaN of none. */
export function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN
}

/**
 * Milliseconds from publish to receipt that the author of the pattern in docs/explanation/comparison.md published for it: two nodes, one
 * Redis channel, 1,000 random users. The author states neither rate nor method, so they are a mark to compare with, not a measurement of ours.
 */
export const PUBLISHED_FIGURES = { average: 28, p99: 67, max: 142 }

const HEADINGS = ['milliseconds', 'average', 'P50', 'P99', 'max', 'lost', 'duplicated', 'generator late, P99']

/** The results as a table, and beside them those of the pattern Belfry replaces. */
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

/** What is wrong with the results; none when every notification arrived once. */
export function faults(results: readonly Result[]): string[] {
  return results.flatMap(({ label, lost, duplicated, refused }) =>
    [
      lost > 0 ? `${label}: ${lost} lost` : '',
      duplicated > 0 ? `${label}: ${duplicated} duplicated` : '',
      refused > 0 ? `${label}: ${refused} publishes refused` : ''
    ].filter((fault) => fault !== '')
  )
}
