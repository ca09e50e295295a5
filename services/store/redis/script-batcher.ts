import { list, type Reply, text } from './reply.ts'
import type { Value } from './script-table.ts'

/** Most items of one call. A script blocks the server while it runs. */
const MAX_ITEMS = 64

interface Waiting {
  item: Readonly<Record<string, Value>>
  resolve(line: string): void
  reject(error: Error): void
}

/**
 * Gathers items into calls of one batch script: the items of one turn of the event loop share a call, and so do those that arrive while a
 * call is in progress. A single item does not wait. Under load the batches grow, and the cost of an item falls.
 */
export class ScriptBatcher {
  readonly #fields: readonly string[]
  readonly #send: (items: Value[]) => Promise<Reply>
  #waiting: Waiting[] = []
  #scheduled = false
  #callsInProgress = 0

  /**
   * @param fields names of an item's fields, in the order of the script
   * @param send carries out items, given as the fields of one after the other, and replies with a line for each
   */
  constructor(fields: readonly string[], send: (items: Value[]) => Promise<Reply>) {
    this.#fields = fields
    this.#send = send
  }

  /** Resolves with the line of this item. Rejects with the item's error, or with that of the call. */
  add(item: Readonly<Record<string, Value>>): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#scheduled) return
      this.#scheduled = true
      setImmediate(() => {
        this.#scheduled = false
        this.#flush()
      })
    })
  }

  #flush(): void {
    while (this.#waiting.length > 0 && (this.#callsInProgress === 0 || this.#waiting.length >= MAX_ITEMS)) {
      const batch = this.#waiting.splice(0, MAX_ITEMS)
      this.#callsInProgress += 1
      void this.#call(batch)
    }
  }

  async #call(batch: Waiting[]): Promise<void> {
    try {
      const fields = batch.flatMap(({ item }) => this.#fields.map((name) => item[name] as Value))
      const lines = list(await this.#send(fields))
      batch.forEach(({ resolve, reject }, index) => {
        const line = text(lines[index])
        if (line.startsWith('error ')) reject(new Error(line.slice('error '.length)))
        else resolve(line)
      })
    } catch (error) {
      for (const { reject } of batch) reject(error as Error)
    } finally {
      this.#callsInProgress -= 1
      this.#flush()
    }
  }
}
