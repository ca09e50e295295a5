import type { ChainableCommander, Redis } from 'ioredis'
import { createClient, type RedisStoreOptions } from './clients.ts'
import type { Reply } from './reply.ts'
import { type Args, arrange, commandOf, type ScriptName, type Value } from './script-table.ts'
import type { ScriptTexts } from './script-texts.ts'
import { type Publish, Scripts, sendMessagesOf } from './scripts.ts'

/** Time limit of `WAIT`, milliseconds. */
const WAIT_MS = 100

/** The scripts that wait for replicas: those whose answer to the caller says how durable the change is. */
export const CONFIRMED_SCRIPTS: ReadonlySet<ScriptName> = new Set([
  'publish-full',
  'mark',
  'answer',
  'retract',
  'disconnect',
  'broadcast-start',
  'broadcast-cancel'
])

type Command = `${ReturnType<typeof commandOf<ScriptName>>}Buffer`

interface Waiting {
  command: Command
  keys: readonly string[]
  args: Value[]
  resolve(reply: Reply): void
  reject(error: Error): void
}

/**
 * Runs scripts and waits for replicas, on a connection of its own, because WAIT blocks the connection. The scripts of one turn of the event
 * loop share one WAIT.
 */
export class Replication {
  /** True if the latest scripts reached as many replicas as configured. */
  confirmed = false
  readonly client: Redis
  readonly #replicas: number
  readonly #publish: Publish
  #batch: Waiting[] = []

  constructor(texts: ScriptTexts, options: RedisStoreOptions, publish: Publish) {
    this.client = createClient(options, false)
    this.#replicas = options.waitReplicas
    this.#publish = publish
    new Scripts(this.client, texts, false, publish)
  }

  run<Name extends ScriptName>(name: Name, keys: readonly string[], args: Args<Name>): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#batch.length === 0) setImmediate(() => this.#flush())
      this.#batch.push({ command: `${commandOf(name)}Buffer`, keys, args: arrange(name, args), resolve, reject })
    })
  }

  #flush(): void {
    const batch = this.#batch
    this.#batch = []
    const pipeline = this.client.pipeline() as ChainableCommander & Record<Command, (...args: Value[]) => unknown>
    for (const { command, keys, args } of batch) pipeline[command](...keys, ...args)
    pipeline.wait(this.#replicas, WAIT_MS)
    pipeline.exec().then(
      (results) => this.#settle(batch, results ?? []),
      (error: Error) => {
        for (const { reject } of batch) reject(error)
      }
    )
  }

  #settle(batch: Waiting[], results: [Error | null, unknown][]): void {
    const reached = results[batch.length]?.[1]
    this.confirmed = typeof reached === 'number' && reached >= this.#replicas
    batch.forEach(({ resolve, reject }, index) => {
      const [error, reply] = results[index] ?? [new Error('no answer'), undefined]
      if (error === null) resolve(sendMessagesOf(reply as Reply, this.#publish))
      else reject(error)
    })
  }
}
