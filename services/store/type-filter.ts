/**
 * Returns what the JSON text of a type, after its opening quote, begins with if one of these patterns matches the type. A pattern is a type,
 * or a prefix of types that ends in `*`.
 */
export function typeBeginnings(patterns: string[]): Buffer[] {
  return patterns.map((pattern) => {
    const isPrefix = pattern.endsWith('*')
    const json = JSON.stringify(isPrefix ? pattern.slice(0, -1) : pattern)
    return Buffer.from(json.slice(1, isPrefix ? -1 : undefined))
  })
}

const TYPE = '"type":"'

/** Returns whether the type of an `n` row has one of these beginnings. The type comes before all text of the publisher. */
export function matchesType(row: Buffer, beginnings: Buffer[]): boolean {
  const from = row.indexOf(TYPE) + TYPE.length
  return beginnings.some((beginning) => row.subarray(from, from + beginning.length).equals(beginning))
}
