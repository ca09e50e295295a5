import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { owned } from './children.ts'
import type { CrowdOptions } from './crowd.ts'

/** A crowd for a process of its own: too big for this one, or in the way of what this one measures. */
export interface HolderOptions extends Omit<CrowdOptions, 'target'> {
  /** Of the nodes it is spread over. */
  ports: readonly number[]
  users: number
}

/** How far a holder is. */
export interface Told {
  received: number
  duplicated: number
  closed: number
  /** When the latest message came, Unix milliseconds; 0: none did. */
  lastAt: number
}

/** A process that holds a crowd, and what it told last. */
export class Holder {
  last: Told = { received: 0, duplicated: 0, closed: 0, lastAt: 0 }
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (told) => {
      this.last = told as Told
    })
  }

  /** Resolves when the process is ready to connect its crowd. */
  static async start(options: HolderOptions): Promise<Holder> {
    const holder = new Holder(owned(fork(join(import.meta.dirname, 'holder.js'), [JSON.stringify(options)])))
    await holder.#told()
    return holder
  }

  /** Resolves when everybody hears. */
  async connect(): Promise<void> {
    this.#child.send('connect')
    await this.#told()
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  async #told(): Promise<void> {
    await Promise.race([
      once(this.#child, 'message'),
      once(this.#child, 'exit').then(() => {
        throw new Error('a holder of connections ended before they were open')
      })
    ])
  }
}
