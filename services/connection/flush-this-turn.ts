/** An object that collects writes during one turn of the event loop. */
export interface Flushable {
  /** Writes what was collected. */
  flush(): void
}

let scheduled: Flushable[] = []

function flushAll(): void {
  const flushables = scheduled
  scheduled = []
  for (const flushable of flushables) flushable.flush()
}

/** Flushes an object at the end of this turn of the event loop. All objects of a turn share one `setImmediate`. */
export function flushThisTurn(flushable: Flushable): void {
  if (scheduled.push(flushable) === 1) setImmediate(flushAll)
}
