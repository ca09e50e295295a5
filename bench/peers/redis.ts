import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort } from '../../test/fixtures/redis.ts'
import { endWithBench } from '../children.ts'

/** The Redis of one peer, with an append-only file that is synced each second. */
export class BenchRedis {
  readonly port: number
  readonly client: Redis
  readonly #child: ChildProcess
  readonly #folder: string

  private constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port
    this.#folder = folder
    this.#child = child
    this.client = new Redis(port, '127.0.0.1', { retryStrategy: () => 20 })
    this.client.on('error', () => undefined)
  }

  static async start(): Promise<BenchRedis> {
    const port = await freePort()
    const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-redis-'))
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--loglevel', 'warning']
    const durable = [...args, '--appendonly', 'yes', '--appendfsync', 'everysec']
    const child = endWithBench(spawn('redis-server', durable, { stdio: 'ignore' }))
    const redis = new BenchRedis(port, folder, child)
    while ((await redis.client.ping().catch(() => '')) !== 'PONG') await sleep(20)
    return redis
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async stop(): Promise<void> {
    this.client.disconnect()
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
    await rm(this.#folder, { recursive: true, force: true })
  }
}
