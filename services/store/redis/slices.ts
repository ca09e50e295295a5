/** Calls under way at once in what is done by the clock: publishes go in between, and wait for no more than these. */
const SLICE = 16

/** Does something for each item, a few at a time; what it came to, in the items' order. Rejects with the first that failed. */
export async function inSlices<Item, Result>(items: readonly Item[], act: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  for (let from = 0; from < items.length; from += SLICE) results.push(...(await Promise.all(items.slice(from, from + SLICE).map(act))))
  return results
}
