import { write as writeFile, writeSync } from 'node:fs'
import type { Counters } from './counters.ts'

/** Log lines that may wait for their destination, characters. */
const MAX_WAITING = 1_048_576
/** Time after which a write that failed is tried again, milliseconds. */
const RETRY_MS = 100

/**
 * The destination of the log. It never blocks and never fails: while the destination takes nothing (a full disk, a reader that stopped), up
 * to 1 MB of lines wait, and lines beyond that are dropped and counted.
 *
 * It is our own because sonic-boom 4 waits for a full disk in an endless loop when it is flushed at exit.
 */
export class LogSink {
  readonly #fd: number
  #waiting: string[] = []
  #waitingLength = 0
  /** The rest of what was given to the destination. */
  #unwritten: Buffer = Buffer.alloc(0)
  #isWriting = false
  #counters: { logLinesDropped: number } = { logLinesDropped: 0 }

  constructor(fd: number) {
    this.#fd = fd
  }

  write(line: string): void {
    if (this.#waitingLength + line.length > MAX_WAITING) {
      this.#counters.logLinesDropped += 1
      return
    }
    this.#waiting.push(line)
    this.#waitingLength += line.length
    if (!this.#isWriting) this.#writeNext()
  }

  /** Counts dropped lines in `counters` from now on, and those dropped before. */
  countIn(counters: Counters): void {
    counters.logLinesDropped += this.#counters.logLinesDropped
    this.#counters = counters
  }

  /** Writes the lines that wait, at the end of the process. What the destination does not take at once is lost. */
  flush(): void {
    try {
      if (!this.#isWriting) writeSync(this.#fd, this.#unwritten)
      writeSync(this.#fd, this.#take())
    } catch {
      // The destination is full or closed, and the process ends.
    }
  }

  #take(): Buffer {
    const text = Buffer.from(this.#waiting.join(''))
    this.#waiting = []
    this.#waitingLength = 0
    return text
  }

  #writeNext(): void {
    if (this.#unwritten.length === 0) this.#unwritten = this.#take()
    this.#isWriting = this.#unwritten.length > 0
    if (!this.#isWriting) return
    writeFile(this.#fd, this.#unwritten, (error, written) => {
      if (error === null) {
        this.#unwritten = this.#unwritten.subarray(written)
        this.#writeNext()
      } else setTimeout(() => this.#writeNext(), RETRY_MS).unref()
    })
  }
}
