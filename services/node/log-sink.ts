import { write as writeFile, writeSync } from 'node:fs'
import type { Counters } from './counters.ts'

/** Longest backlog of log lines, characters. */
const MAX_WAITING = 1_048_576
/** Time until a failed write is retried, milliseconds. */
const RETRY_MS = 100

/**
 * Writes the log to a file descriptor, and never blocks or throws. While writes fail (a full disk, a reader that stopped), up to 1 MB of lines
 * wait. Further lines are dropped and counted.
 *
 * sonic-boom 4 is not used: on a full disk, its flush at exit loops without end.
 */
export class LogSink {
  readonly #fd: number
  #waiting: string[] = []
  #waitingLength = 0
  /** The part of the current write that the destination has not taken yet. */
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

  /** Counts dropped lines in `counters`, including those dropped before this call. */
  countIn(counters: Counters): void {
    counters.logLinesDropped += this.#counters.logLinesDropped
    this.#counters = counters
  }

  /** Writes the waiting lines at the end of the process. Bytes that the destination does not take at once are lost. */
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
