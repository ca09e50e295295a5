import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signToken } from '../../services/auth/signing.ts'
import { makeVapidKeys } from '../../services/reach/vapid.ts'
import { exitText, isFromOutside, type UnexpectedExit } from '../fixtures/children.ts'
import { NatsServer } from '../fixtures/nats.ts'
import { freePort, RedisCluster, RedisServer } from '../fixtures/redis.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { CallReceiver } from './call-receiver.ts'
import { ChaosNode } from './chaos-node.ts'
import { Caller } from './http.ts'
import type { Away, Window } from './journal.ts'
import type { BusKind, StoreKind } from './schedule.ts'

export const SECRET = 'a secret for chaos only, and long enough'
export const RATE_LIMIT = 10
export const RATE_WINDOW_MS = 1000
/** Time after the append at which a push is due, seconds. */
export const PUSH_AFTER_SECONDS = 1
/** Shorter than the default, which would take most of a short run to detect a dead peer, milliseconds. */
const PING_INTERVAL_MS = 5000

interface WorldOptions {
  store: StoreKind
  bus: BusKind
  nodes: number
  /** The compiled service. */
  build: string
  /** Notifications kept per user. */
  maxEntries: number
  /** Age at which notifications are trimmed, seconds. */
  retentionSeconds: number
  /** Called with a line for each process that ended by itself. */
  progress: (text: string) => void
}

/** A run without a verdict: its processes were stopped from outside. */
export class VoidRun extends Error {}

/** The servers of a run: the store, the nodes, and the proxies between them. */
export class World {
  readonly store: StoreKind
  readonly folder: string
  readonly maxEntries: number
  readonly retentionSeconds: number
  redis: RedisServer | undefined
  cluster: RedisCluster | undefined
  nats: NatsServer | undefined
  readonly nodes: ChaosNode[] = []
  /** Proxies from each node to Redis. None with the embedded store, nor on a Cluster, whose nodes tell clients their own addresses. */
  readonly links: TcpProxy[] = []
  /** Proxies from each node to NATS. */
  readonly busLinks: TcpProxy[] = []
  /** Proxies from publishers to each node. */
  readonly doors: TcpProxy[] = []
  readonly caller = new Caller(signToken(SECRET, 'chaos', 'admin'))
  readonly windows: Window[] = []
  /** Times in which receivers, or nodes with leased calls, are broken. */
  readonly callWindows: Window[] = []
  readonly away: Away[] = []
  /** Descriptions of nodes that did not stop in time after SIGTERM. */
  readonly overdue: string[] = []
  /** Users whose only connections were reset by `clientFlash`. */
  readonly passersBy: string[] = []
  readonly #unexpectedExits: UnexpectedExit[] = []
  readonly #progress: (text: string) => void
  readonly #servedBy = new Map<number, number>()
  readonly #vapid = makeVapidKeys()
  #receiver: CallReceiver | undefined
  #balancer: TcpProxy | undefined
  #choices = 0

  private constructor(options: WorldOptions, folder: string) {
    this.store = options.store
    this.#progress = options.progress
    this.folder = folder
    this.maxEntries = options.maxEntries
    this.retentionSeconds = options.retentionSeconds
  }

  static async start(options: WorldOptions): Promise<World> {
    // The node timeout is longer than any pause of a master. Otherwise a paused master would lose accepted writes to its replica, by
    // Redis' design.
    const promoting = { replicated: true, promotes: true, nodeTimeoutMs: 5000 }
    const durable = { appendonly: 'yes', appendfsync: 'always' } as const
    const folder = await mkdtemp(join(tmpdir(), 'belfry-chaos-'))
    const world = new World(options, folder)
    const { onUnexpectedExit } = world
    try {
      world.#receiver = await CallReceiver.start()
      if (options.store === 'redis')
        world.redis = await RedisServer.start({ ...durable, args: ['--aof-load-truncated', 'yes'], onUnexpectedExit })
      if (options.store === 'cluster') world.cluster = await RedisCluster.start({ ...durable, ...promoting, onUnexpectedExit })
      if (options.bus === 'nats') world.nats = await NatsServer.start('', onUnexpectedExit)
      for (let index = 0; index < options.nodes; index++) await world.#addNode(index, options.build)
      world.#balancer = await TcpProxy.start((clientPort) => world.#choose(clientPort))
      await Promise.all(world.nodes.map((node) => node.start()))
    } catch (error) {
      await world.stop()
      world.assertUndisturbed()
      throw error
    }
    return world
  }

  /** Address for devices: the balancer, which chooses another running node each time. */
  get deviceUrl(): string {
    return `http://127.0.0.1:${this.balancer.port}`
  }

  get balancer(): TcpProxy {
    if (this.#balancer === undefined) throw new Error('not started')
    return this.#balancer
  }

  /** The receiver of pushes and webhooks. */
  get receiver(): CallReceiver {
    if (this.#receiver === undefined) throw new Error('not started')
    return this.#receiver
  }

  /** Returns the index of the node that serves the connection from this port. */
  servedBy(clientPort: number): number {
    return this.#servedBy.get(clientPort) ?? -1
  }

  get listening(): ChaosNode[] {
    return this.nodes.filter((node) => node.listening)
  }

  readonly onUnexpectedExit = (exit: UnexpectedExit): void => {
    this.#unexpectedExits.push(exit)
    this.#progress(exitText(exit))
  }

  /** Throws VoidRun if a process was stopped by something else than this run: what follows from that says nothing about the service. */
  assertUndisturbed(): void {
    const exits = this.#unexpectedExits.filter(isFromOutside)
    if (exits.length > 0) throw new VoidRun(exits.map(exitText).join('; '))
  }

  /** Opens a window in which something is broken. The returned function ends it, `afterMs` later. */
  window(kind: string, node?: number, afterMs = 0, only?: 'wakeUpsOnly' | 'clockOnly'): () => void {
    const what = { kind, ...(node !== undefined && { node }), ...(only !== undefined && { [only]: true }) }
    return openWindow(this.windows, what, afterMs)
  }

  /** Opens a window in which calls may be late. The returned function ends it, `afterMs` later. */
  callWindow(kind: string, afterMs = 0): () => void {
    return openWindow(this.callWindows, { kind }, afterMs)
  }

  /** Settings to open further stores on the same data. */
  get settings() {
    return {
      rateLimit: RATE_LIMIT,
      rateWindowMs: RATE_WINDOW_MS,
      parkedMax: 1000,
      retentionMs: this.retentionSeconds * 1000,
      maxEntries: this.maxEntries,
      maxConnections: 100,
      scheduledMax: 1000,
      revocationTtlMs: 86_400_000
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()))
    this.redis?.resume()
    this.nats?.resume()
    for (const server of [...(this.cluster?.servers ?? []), ...(this.cluster?.replicas ?? [])]) server.resume()
    await Promise.all(
      [...this.links, ...this.busLinks, ...this.doors, ...(this.#balancer === undefined ? [] : [this.#balancer])].map((proxy) =>
        proxy.stop()
      )
    )
    await Promise.all([this.redis?.stop(), this.cluster?.stop(), this.nats?.stop()])
    await this.#receiver?.stop()
    this.caller.close()
    await rm(this.folder, { recursive: true, force: true })
  }

  async #addNode(index: number, build: string): Promise<void> {
    const port = await freePort()
    const environment: Record<string, string> = {
      JWT_SECRET: SECRET,
      RATE_LIMIT_MAX: String(RATE_LIMIT),
      RATE_LIMIT_WINDOW_MS: String(RATE_WINDOW_MS),
      LOG_MAX_ENTRIES: String(this.maxEntries),
      RETENTION_SECONDS: String(this.retentionSeconds),
      MAX_UNACKED: '40',
      WS_PING_INTERVAL_MS: String(PING_INTERVAL_MS),
      CLOSE_GRACE_SECONDS: '10',
      DRAIN_DELAY_MS: '0',
      DATA_DIR: this.folder,
      VAPID_PUBLIC_KEY: this.#vapid.publicKey,
      VAPID_PRIVATE_KEY: this.#vapid.privateKey,
      VAPID_SUBJECT: 'mailto:chaos@example.com',
      PUSH_ENDPOINTS: this.receiver.origin,
      PUSH_AFTER_SECONDS: String(PUSH_AFTER_SECONDS),
      WEBHOOK_URL: `${this.receiver.origin}/webhook`,
      WEBHOOK_SECRET: `whsec_${Buffer.from(SECRET).toString('base64')}`,
      WEBHOOK_EVENTS: 'notification.fallback'
    }
    if (this.redis !== undefined) {
      const link = await TcpProxy.start(this.redis.port)
      this.links.push(link)
      environment.REDIS_URL = link.url
    }
    if (this.cluster !== undefined) environment.REDIS_CLUSTER_NODES = this.cluster.nodes.join(',')
    if (this.nats !== undefined) {
      const link = await TcpProxy.start(this.nats.port)
      this.busLinks.push(link)
      environment.NATS_URL = `nats://127.0.0.1:${link.port}`
    }
    this.nodes.push(new ChaosNode(index, port, build, environment, this.caller, this.onUnexpectedExit))
    this.doors.push(await TcpProxy.start(port))
  }

  #choose(clientPort: number): number {
    const { listening } = this
    const node = listening[this.#choices++ % Math.max(1, listening.length)] ?? (this.nodes[0] as ChaosNode)
    this.#servedBy.set(clientPort, node.index)
    return node.port
  }
}

/** Adds a window that begins now. The returned function ends it, `afterMs` later. */
function openWindow(windows: Window[], what: Omit<Window, 'from' | 'to'>, afterMs: number): () => void {
  const window: Window = { ...what, from: Date.now(), to: Number.MAX_SAFE_INTEGER }
  windows.push(window)
  return () => {
    window.to = Date.now() + afterMs
  }
}
