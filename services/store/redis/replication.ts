import type { ChainableCommander, Redis } from 'ioredis'
import { createClient, type RedisStoreOptions } from './clients.ts'
import type { Reply } from './reply.ts'
import { type Args, arrange, commandOf, type Value } from './script-table.ts'
import type { ScriptTexts } from './script-texts.ts'
import { type Publish, Scripts, sendMessagesOf } from './scripts.ts'

/** Time limit of `WAIT`, milliseconds. */
const WAIT_MS = 100

const PUBLISH = `${commandOf('publish-full')}Buffer` as const

interface Waiting {
  keys: string[]
  args: Value[]
  resolve(reply: Reply): void
  reject(error: Error): void
}

/**
 * Publishes and waits for replicas, on a connection of its own, because WAIT blocks the connection. The publishes of one turn of the event
 * loop share one WAIT.
 */
export class Replication {
  /** True if the latest publishes reached as many replicas as configured. */
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

  publish(keys: string[], args: Args<'publish-full'>): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#batch.length === 0) setImmediate(() => this.#flush())
      this.#batch.push({ keys, args: arrange('publish-full', args), resolve, reject })
    })
  }

  #flush(): void {
    const batch = this.#batch
    this.#batch = []
    const pipeline = this.client.pipeline() as ChainableCommander & Record<typeof PUBLISH, (...args: Value[]) => unknown>
    for (const { keys, args } of batch) pipeline[PUBLISH](...keys, ...args)
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
