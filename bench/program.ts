import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { owned } from './children.ts'

/** The folder of this build: programs are named from there. */
const BUILD = join(import.meta.dirname, '..')

/** How long a program may take to be ready, or to answer, milliseconds. */
const DEADLINE_MS = 60_000

/** What `peers/inside.ts` tells of the process it was loaded into. Bytes. */
export interface Inside {
  rss: number
  heapUsed: number
  /** Bytes read from the port asked about, over all of the process's sockets to it. */
  bytesRead: number
  incomingMessages: number
}

/** A Node process of this build, started for a measure. What it writes to stderr is shown. */
export class Program {
  readonly child: ChildProcess

  /**
   * @param script path in the build
   * @param flags of Node itself
   */
  constructor(script: string, args: string[], environment: Record<string, string>, flags: string[] = []) {
    const { PATH = '', HOME = '' } = process.env
    const inside = ['--expose-gc', '--import', join(BUILD, 'bench', 'peers', 'inside.js')]
    const node = spawn(process.execPath, [...inside, ...flags, join(BUILD, script), ...args], {
      env: { PATH, HOME, ...environment },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    this.child = owned(node)
    this.child.setMaxListeners(0)
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Resolves when it answers HTTP on the port. */
  async listening(port: number, path = '/'): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS
    for (;;) {
      const answered = await fetch(`http://127.0.0.1:${port}${path}`).then(
        async (response) => {
          await response.arrayBuffer()
          return response.status < 500
        },
        () => false
      )
      if (answered) return
      if (this.child.exitCode !== null) throw new Error(`a process ended before it listened, with code ${this.child.exitCode}`)
      if (Date.now() > deadline) throw new Error(`nothing listens on port ${port}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Collects the garbage of the process, lets it settle, and asks it about itself. */
  async inside(port = 0): Promise<Inside> {
    const answer = once(this.child, 'message', { signal: AbortSignal.timeout(DEADLINE_MS) })
    this.child.send({ port })
    return ((await answer) as [Inside])[0]
  }

  /** Ends it, and lets it write what it has to write at its end. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const patience = setTimeout(() => this.child.kill('SIGKILL'), 3000)
    await exited
    clearTimeout(patience)
  }
}
