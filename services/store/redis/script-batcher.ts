import { list, text } from './replies.ts'
import type { Reply } from './scripts.ts'

/** Most items of one call: a script holds the server up while it runs. */
const MAX_ITEMS = 64

interface Waiting {
  item: string[]
  resolve(line: string): void
  reject(error: Error): void
}

/**
 * Gathers calls to one script: those of one turn of the event loop go together, and so do those that come while a call is on its way. A single
 * call waits for nothing; under load groups grow by themselves, and what each costs falls.
 */
export class ScriptBatcher {
  readonly #send: (items: string[][]) => Promise<Reply>
  #waiting: Waiting[] = []
  #scheduled = false
  #underWay = 0

  /** @param send carries out some items, each as its fields, and answers with a line for each */
  constructor(send: (items: string[][]) => Promise<Reply>) {
    this.#send = send
  }

  /** Resolves with the line of this item. Rejects with its error, or when the call is lost. */
  add(...item: string[]): Promise<string> {
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
      const lines = list(await this.#send(group.map(({ item }) => item)))
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
