/** Something that gathers writes during one turn of the event loop. */
export interface Flushable {
  /** Writes what was gathered. */
  flush(): void
}

let waiting: Flushable[] = []

function flushAll(): void {
  const flushables = waiting
  waiting = []
  for (const flushable of flushables) flushable.flush()
}

/** Has it flushed at the end of this turn: one timer of the event loop for everybody who gathered something. */
export function flushThisTurn(flushable: Flushable): void {
  if (waiting.push(flushable) === 1) setImmediate(flushAll)
}
