import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { endWithProcess, exitText, isFromOutside, type UnexpectedExit } from '../fixtures/children.ts'
import type { Caller } from './http.ts'

const START_DEADLINE_MS = 60_000
const OUTPUT_KEPT = 4000

/** A node process, which keeps its port through all restarts. */
export class ChaosNode {
  readonly index: number
  readonly port: number
  /** True while a fault works on this node; other faults leave it alone. */
  busy = false
  /** Processes of this node that crashed, with the end of their output. */
  readonly crashes: string[] = []
  readonly #build: string
  readonly #environment: Record<string, string>
  readonly #caller: Caller
  readonly #onUnexpectedExit: (exit: UnexpectedExit) => void
  #child: ChildProcess | undefined
  #listening = false
  #ending = false

  constructor(
    index: number,
    port: number,
    build: string,
    environment: Record<string, string>,
    caller: Caller,
    onUnexpectedExit: (exit: UnexpectedExit) => void
  ) {
    this.index = index
    this.port = port
    this.#build = build
    this.#environment = environment
    this.#caller = caller
    this.#onUnexpectedExit = onUnexpectedExit
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** True if a request can reach the node. */
  get listening(): boolean {
    return this.running && this.#listening
  }

  /** Starts the process. Resolves when it answers. */
  async start(): Promise<void> {
    const { PATH = '', HOME = '' } = process.env
    const environment = { PATH, HOME, HOST: '127.0.0.1', PORT: String(this.port), LOG_LEVEL: 'error', ...this.#environment }
    const child = spawn(process.execPath, [join(this.#build, 'server.js')], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (data: Buffer): void => {
      output = (output + data).slice(-OUTPUT_KEPT)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    endWithProcess(child)
    this.#child = child
    this.#ending = false
    this.#listening = false
    child.on('exit', (code, signal) => {
      if (this.#ending) return
      const exit = { name: `node ${this.index}`, at: Date.now(), code, signal }
      if (!isFromOutside(exit)) this.crashes.push(`${exitText(exit)}: ${output}`)
      this.#onUnexpectedExit(exit)
    })
    const deadline = Date.now() + START_DEADLINE_MS
    while (!(await this.live())) {
      if (!this.running) throw new Error(`node ${this.index} does not start: ${output}`)
      if (Date.now() > deadline) throw new Error(`node ${this.index} does not answer within ${START_DEADLINE_MS} ms: ${output}`)
      await pause(50)
    }
    this.#listening = true
  }

  async live(): Promise<boolean> {
    return (await this.#caller.call(this.port, 'GET', '/health/live', undefined, {}, 1000)).status === 200
  }

  /** Returns the reason why the node is not fully ready; '' if it is. */
  async unready(): Promise<string> {
    if (!this.running) return 'the process does not run'
    const { status, body } = await this.#caller.call(this.port, 'GET', '/health/ready', undefined, {}, 1000)
    const checks = Object.values((body as { checks?: Record<string, string> } | undefined)?.checks ?? {})
    return status === 200 && checks.every((check) => check === 'ok') ? '' : `the answer is ${status} ${JSON.stringify(body)}`
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Sends SIGTERM and waits for the end. Returns false if the process had to be killed after `ms`. */
  async drain(ms: number): Promise<boolean> {
    const child = this.#child
    const late = setTimeout(() => child?.kill('SIGKILL'), ms)
    await this.#end('SIGTERM')
    clearTimeout(late)
    return child?.signalCode !== 'SIGKILL'
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name)
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.running) return
    this.#ending = true
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
}
