import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { endWithBench } from './children.ts'

/** Root of the compiled code. Paths of scripts are relative to it. */
const BUILD = join(import.meta.dirname, '..')

/** Milliseconds a program may take to become ready, or to answer. */
const DEADLINE_MS = 60_000

/** Answer of `peers/self-report.ts`, which runs inside the measured process. Sizes are bytes. */
interface ProcessReport {
  rss: number
  heapUsed: number
  /** Bytes that the process has read from its open sockets to the requested port. */
  bytesRead: number
  incomingMessages: number
}

/** A Node process of the compiled code, started for a measure. Its stderr is shown. */
export class Program {
  readonly child: ChildProcess

  /**
   * @param script path below the root of the compiled code
   * @param flags flags of Node
   */
  constructor(script: string, args: string[], environment: Record<string, string>, flags: string[] = []) {
    const { PATH = '', HOME = '' } = process.env
    const reportFlags = ['--expose-gc', '--import', join(BUILD, 'bench', 'peers', 'self-report.js')]
    const node = spawn(process.execPath, [...reportFlags, ...flags, join(BUILD, script), ...args], {
      env: { PATH, HOME, ...environment },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    this.child = endWithBench(node)
    this.child.setMaxListeners(0)
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Resolves when the process answers an HTTP request on the port. */
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
      if (this.child.exitCode !== null)
        throw new Error(`the process exited with code ${this.child.exitCode} before it listened on port ${port}`)
      if (Date.now() > deadline) throw new Error(`no process listens on port ${port} after ${DEADLINE_MS} ms`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Runs the garbage collector in the process, waits until memory has settled, and returns the process's own figures. */
  async report(port = 0): Promise<ProcessReport> {
    const answer = once(this.child, 'message', { signal: AbortSignal.timeout(DEADLINE_MS) })
    this.child.send({ port })
    return ((await answer) as [ProcessReport])[0]
  }

  /** Sends SIGTERM, so that the process can write its last data, and SIGKILL after 3 s. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const killTimer = setTimeout(() => this.child.kill('SIGKILL'), 3000)
    await exited
    clearTimeout(killTimer)
  }
}
