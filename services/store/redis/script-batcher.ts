import { list, type Reply, text } from './reply.ts'
import type { Value } from './script-table.ts'

/** Most items of one call. A script blocks the server while it runs. */
const MAX_ITEMS = 64

/** An item: its fields by name. */
type Item = Readonly<Record<string, Value>>

interface Waiting {
  item: Item
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
  readonly #errorOf: (cause: unknown, item: Item) => Error
  #waiting: Waiting[] = []
  #scheduled = false
  #callsInProgress = 0

  /**
   * @param fields names of an item's fields, in the order of the script
   * @param send carries out items, given as the fields of one after the other, and replies with a line for each
   * @param errorOf returns the error for an item that failed, or whose call did
   */
  constructor(fields: readonly string[], send: (items: Value[]) => Promise<Reply>, errorOf: (cause: unknown, item: Item) => Error) {
    this.#fields = fields
    this.#send = send
    this.#errorOf = errorOf
  }

  /** Resolves with the line of this item. Rejects with the error for it. */
  add(item: Item): Promise<string> {
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
      const values: Value[] = []
      for (const { item } of batch) for (const name of this.#fields) values.push(item[name] as Value)
      const lines = list(await this.#send(values))
      batch.forEach(({ item, resolve, reject }, index) => {
        const line = text(lines[index])
        if (line.startsWith('error ')) reject(this.#errorOf(new Error(line.slice('error '.length)), item))
        else resolve(line)
      })
    } catch (error) {
      for (const { item, reject } of batch) reject(this.#errorOf(error, item))
    } finally {
      this.#callsInProgress -= 1
      this.#flush()
    }
  }
}
