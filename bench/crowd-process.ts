import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { endWithBench } from './children.ts'
import type { CrowdOptions } from './crowd.ts'

/** Options of a crowd in a separate process: it is too big for this process, or would delay this process's own measurement. */
export interface CrowdProcessOptions extends Omit<CrowdOptions, 'target'> {
  /** Ports of the nodes. The crowd is spread over them. */
  ports: readonly number[]
  users: number
}

/** Counts of the crowd, as last reported by its process. */
export interface CrowdProgress {
  received: number
  duplicated: number
  closed: number
  /** Time of the latest first receipt, Unix milliseconds; 0 before the first. */
  lastAt: number
}

/** A child process that holds a crowd, and its latest report. */
export class CrowdProcess {
  last: CrowdProgress = { received: 0, duplicated: 0, closed: 0, lastAt: 0 }
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (told) => {
      this.last = told as CrowdProgress
    })
  }

  /** Starts the process; resolves when it is ready to connect its crowd. */
  static async start(options: CrowdProcessOptions): Promise<CrowdProcess> {
    const crowdProcess = new CrowdProcess(endWithBench(fork(join(import.meta.dirname, 'crowd-program.js'), [JSON.stringify(options)])))
    await crowdProcess.#nextReport()
    return crowdProcess
  }

  /** Connects the crowd; resolves when every socket receives messages. */
  async connect(): Promise<void> {
    this.#child.send('connect')
    await this.#nextReport()
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  async #nextReport(): Promise<void> {
    await Promise.race([
      once(this.#child, 'message'),
      once(this.#child, 'exit').then(() => {
        throw new Error('the process of a crowd exited before its connections were open')
      })
    ])
  }
}
