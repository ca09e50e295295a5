import { list, type Reply, text } from './reply.ts'
import type { Value } from './script-table.ts'

/** Most items of one call: a script holds the server up while it runs. */
const MAX_ITEMS = 64

interface Waiting {
  item: Readonly<Record<string, Value>>
  resolve(line: string): void
  reject(error: Error): void
}

/**
 * Gathers calls to one script: those of one turn of the event loop go together, and so do those that come while a call is on its way. A single
 * call waits for nothing; under load groups grow by themselves, and what each costs falls.
 */
export class ScriptBatcher {
  readonly #fields: readonly string[]
  readonly #send: (items: Value[]) => Promise<Reply>
  #waiting: Waiting[] = []
  #scheduled = false
  #underWay = 0

  /**
   * @param fields names of an item's fields, in the order of the script
   * @param send carries out items, given as the fields of one after the other, and replies with a line for each
   */
  constructor(fields: readonly string[], send: (items: Value[]) => Promise<Reply>) {
    this.#fields = fields
    this.#send = send
  }

  /** Resolves with the line of this item. Rejects with its error, or when the call is lost. */
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
    while (this.#waiting.length > 0 && (this.#underWay === 0 || this.#waiting.length >= MAX_ITEMS)) {
      const group = this.#waiting.splice(0, MAX_ITEMS)
      this.#underWay += 1
      void this.#carryOut(group)
    }
  }

  async #carryOut(group: Waiting[]): Promise<void> {
    try {
      const fields = group.flatMap(({ item }) => this.#fields.map((name) => item[name] as Value))
      const lines = list(await this.#send(fields))
      group.forEach(({ resolve, reject }, index) => {
        const line = text(lines[index])
        if (line.startsWith('error ')) reject(new Error(line.slice('error '.length)))
        else resolve(line)
      })
    } catch (error) {
      for (const { reject } of group) reject(error as Error)
    } finally {
      this.#underWay -= 1
      this.#flush()
    }
  }
}
