const KEPT = 1000

/** The last 1,000 ids, the least recent first. */
export class Recent extends Set<string> {
  /** Whether it was there; now it is the most recent. */
  see(id: string): boolean {
    const known = this.delete(id)
    this.add(id)
    if (this.size > KEPT) this.delete(this.values().next().value as string)
    return known
  }
}
