/** The largest log holds 110,000 rows, and a store may lose 21,072 rows more at its end. */
const MAX_IDS = 131_072

/** A set of the 131,072 most recent ids, the least recent first. */
export class Recent extends Set<string> {
  /** Adds the id as the most recent. Returns true if it was known. */
  see(id: string): boolean {
    const known = this.delete(id)
    this.add(id)
    if (this.size > MAX_IDS) this.delete(this.values().next().value as string)
    return known
  }
}
