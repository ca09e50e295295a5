/** An item of a batch and its users. */
export interface BatchEntry<Item> {
  item: Item
  users: readonly string[]
  /** The item calls the store for its first user, and for the others after that answer. */
  isGradual: boolean
}

/**
 * Carries out the items of a batch side by side. For each user the store is called in the order of the items: an item waits for an earlier one
 * if both are for the same user and the earlier one is gradual, or waits itself.
 *
 * @param carryOut never rejects
 * @returns the results, in the order of the items
 */
export function carryOutBatch<Item, Result>(
  entries: readonly BatchEntry<Item>[],
  carryOut: (item: Item) => Promise<Result>
): Promise<Result[]> {
  const blockerByUser = new Map<string, Promise<unknown>>()
  const results = entries.map(({ item, users, isGradual }) => {
    const blockers = blockerByUser.size === 0 ? [] : users.flatMap((user) => blockerByUser.get(user) ?? [])
    const result = blockers.length === 0 ? carryOut(item) : Promise.all(new Set(blockers)).then(() => carryOut(item))
    if (isGradual || blockers.length > 0) for (const user of users) blockerByUser.set(user, result)
    return result
  })
  return Promise.all(results)
}
