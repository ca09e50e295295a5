const DEADLINE_MS = 5000

/** Resolves when the condition holds; rejects with `what` when it does not within 5 s. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + DEADLINE_MS
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
