/** One sample of a quantity, and how far it can be trusted. */
export interface Sample {
  value: number
  /** Why it must not be used; undefined: nothing is wrong with it. */
  flaw: string | undefined
}

/** Two sides measured in turns. */
export interface Comparison {
  a: number
  b: number
  /** Of a to b, per pair: the middle one, the lowest and the highest. */
  ratio: number
  low: number
  high: number
  pairs: number
  /** Pairs left out, by why. */
  flaws: string[]
}

/** Flawed pairs are taken again, up to so many attempts for each pair that was asked for. */
const ATTEMPTS = 1.5

/**
 * Measures a and b in turns: a b, b a, a b, …, so that whatever drifts drifts for both. The ratio is the median of the pairs' own ratios. Flawed
 * pairs are taken again; when too many were flawed, what there is is used, and `flaws` says so.
 */
export async function interleave(count: number, a: () => Promise<Sample>, b: () => Promise<Sample>): Promise<Comparison> {
  const good: [number, number][] = []
  const flawed: [number, number][] = []
  const flaws: string[] = []
  for (let turn = 0; good.length < count && turn < count * ATTEMPTS; turn++) {
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

export function median(values: number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper
}
