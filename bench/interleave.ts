/** One measured value. */
export interface Sample {
  value: number
  /** Reason why the value is void; undefined if it is valid. */
  flaw: string | undefined
}

/** Result of two sides measured in turns. `a` and `b` are medians. */
export interface Comparison {
  a: number
  b: number
  /** Ratio of a to b per pair: the median, the lowest and the highest. */
  ratio: number
  low: number
  high: number
  pairs: number
  /** Reasons of the pairs that were void. */
  flaws: string[]
}

/** Most attempts for each requested pair, counting repeats of void pairs. */
const ATTEMPTS_PER_PAIR = 1.5

/**
 * Measures a and b in turns: a b, b a, a b, …, so that a drift of the machine affects both sides alike. The ratio is the median of the ratios of
 * all pairs. Void pairs are repeated. If no pair is valid after all attempts, the void pairs are used, and `pairs` is 0.
 */
export async function interleave(count: number, a: () => Promise<Sample>, b: () => Promise<Sample>): Promise<Comparison> {
  const good: [number, number][] = []
  const flawed: [number, number][] = []
  const flaws: string[] = []
  for (let turn = 0; good.length < count && turn < count * ATTEMPTS_PER_PAIR; turn++) {
    const sides = turn % 2 === 0 ? [await a(), await b()] : [await b(), await a()].reverse()
    const [left, right] = sides as [Sample, Sample]
    const flaw = left.flaw ?? right.flaw
    if (flaw === undefined) good.push([left.value, right.value])
    else {
      flawed.push([left.value, right.value])
      flaws.push(flaw)
    }
  }
  const used = good.length > 0 ? good : flawed
  const ratios = used.map(([left, right]) => left / right).sort((x, y) => x - y)
  return {
    a: median(used.map(([left]) => left)),
    b: median(used.map(([, right]) => right)),
    ratio: median(ratios),
    low: ratios[0] ?? Number.NaN,
    high: ratios.at(-1) ?? Number.NaN,
    pairs: good.length,
    flaws
  }
}

/** Returns the median; NaN for an empty list. */
export function median(values: number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper
}
