/** As many ids as the largest log may hold (110,000 rows) and a lost tail of 21,072 rows. */
const MAX_IDS = 131_072

/** The last 131,072 ids, the least recent first. */
export class Recent extends Set<string> {
  /** Returns whether the id was known; makes it the most recent. */
  see(id: string): boolean {
    const known = this.delete(id)
    this.add(id)
    if (this.size > MAX_IDS) this.delete(this.values().next().value as string)
    return known
  }
}
