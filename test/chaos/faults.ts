import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { NatsServer } from '../fixtures/nats.ts'
import type { RedisCluster, RedisServer } from '../fixtures/redis.ts'
import type { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { aofOf, cut, loseTail } from './aof.ts'
import type { ChaosNode } from './chaos-node.ts'
import type { Device } from './consumers.ts'
import { hole, holedWays, pickOf, silence, slotOfUser } from './fault-steps.ts'
import { flash } from './flash.ts'
import type { Publishers } from './publishers.ts'
import { ReceiverFaults } from './receiver-faults.ts'
import type { Fault, FaultKind } from './schedule.ts'
import type { Sleepers } from './sleepers.ts'
import type { World } from './world.ts'

/** Delivery must be as quick as ever this long after the store came back, milliseconds. */
const STORE_HEALS_MS = 5000
/** Time in which a node detects a dead connection to Redis and opens another, milliseconds. */
const LINK_HEALS_MS = 6000
/** Connections of one `clientFlash`, each for a new user. */
const FLASHES = 12
/** The user of `keyedFork`, who gets no other notification. */
export const FORKED = 'forked-0'
/** Deadline for a step of `keyedFork`, milliseconds. */
const FORK_STEP_MS = 10_000
const DRAIN_DEADLINE_MS = 15_000
/** Longest time until a signal takes effect, milliseconds. */
const SIGNAL_MS = 100

/** Carries out the schedule. Counts the faults that happened: a fault is skipped if another one occupies its node or store. */
export class Faults {
  readonly counts = new Map<FaultKind, number>()
  readonly #world: World
  readonly #devices: Device[]
  readonly #publishers: Publishers
  readonly #sleepers: Sleepers
  readonly #receiver: ReceiverFaults
  readonly #users: string[]
  readonly #underWay = new Set<Promise<void>>()
  readonly #errors: string[] = []
  readonly #nodesToStay: number
  #storeBusy = false
  #busBusy = false

  constructor(world: World, devices: Device[], publishers: Publishers, sleepers: Sleepers) {
    this.#publishers = publishers
    this.#sleepers = sleepers
    this.#receiver = new ReceiverFaults(world)
    this.#world = world
    this.#devices = devices
    this.#users = [...new Set(devices.map(({ user }) => user))].filter((user) => user !== FORKED)
    this.#nodesToStay = world.nodes.length > 1 ? 1 : 0
  }

  /** Descriptions of faults that failed. */
  get errors(): string[] {
    return this.#errors
  }

  do(fault: Fault): void {
    const act = this.#kinds[fault.kind]
    const done = act(fault)
      .then((was) => {
        if (was !== false) this.counts.set(fault.kind, (this.counts.get(fault.kind) ?? 0) + 1)
      })
      .catch((error: unknown) => {
        this.#errors.push(`${fault.kind}: ${error instanceof Error ? error.message : error}`)
      })
      .finally(() => this.#underWay.delete(done))
    this.#underWay.add(done)
  }

  /** Resolves when every fault is over. */
  async over(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  /** Each action resolves with false if it had nothing to act on. */
  readonly #kinds: Record<FaultKind, (fault: Fault) => Promise<boolean>> = {
    nodeKill: (fault) => this.#withNode(fault, async (node) => await this.#restarted(node, fault.ms, () => node.kill())),
    nodeDrain: (fault) =>
      this.#withNode(fault, async (node) => {
        await this.#restarted(node, fault.ms, async () => {
          if (!(await node.drain(DRAIN_DEADLINE_MS)))
            this.#world.overdue.push(`node ${node.index} did not stop within ${DRAIN_DEADLINE_MS} ms`)
        })
      }),
    nodePause: (fault) =>
      this.#withNode(fault, async (node) => {
        const over = this.#world.window('nodePause', node.index, STORE_HEALS_MS)
        node.signal('SIGSTOP')
        await pause(fault.ms)
        node.signal('SIGCONT')
        over()
      }),
    subscriberKill: async () => {
      const over = this.#world.window('subscriberKill', undefined, 0, 'wakeUpsOnly')
      const done = await this.#everyServer((admin) => admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
      over()
      return done
    },
    scriptFlush: () => this.#everyServer((admin) => admin.call('SCRIPT', 'FLUSH')),
    subscriberSwallow: async (fault) => {
      const link = pickOf(this.#world.links, fault.pick)
      const passages = link?.passages('ssubscribe') ?? []
      const over = this.#world.window(
        'subscriberSwallow',
        link === undefined ? undefined : this.#world.links.indexOf(link),
        0,
        'wakeUpsOnly'
      )
      for (const passage of passages) passage.blackHole('down')
      await pause(fault.ms)
      for (const passage of passages) passage.heal()
      over()
      return passages.length > 0
    },
    subscriberHole: async (fault) => {
      const passages = pickOf(this.#world.links, fault.pick)?.passages('ssubscribe') ?? []
      for (const passage of passages) passage.blackHole('up', 'down')
      await pause(fault.ms)
      return passages.length > 0
    },
    busKill: (fault) =>
      this.#withBus(async (nats) => {
        await nats.kill()
        await pause(fault.ms)
        await nats.run()
      }),
    busPause: (fault) =>
      this.#withBus(async (nats) => {
        nats.pause()
        await pause(fault.ms)
        nats.resume()
      }),
    busCut: (fault) =>
      this.#withBusLink(fault, async (link) => {
        for (const passage of link.passages()) passage.cut()
      }),
    busHole: (fault) => this.#withBusLink(fault, (link) => hole(link, fault.ms, ...holedWays(fault))),
    storeKill: (fault) => this.#withStore(fault, (server, users) => this.#killed(server, users, fault.ms, async () => undefined)),
    lostTail: (fault) =>
      this.#withStore(fault, (server, users) => this.#killed(server, users, fault.ms, () => loseTail(server, fault.pick))),
    storeWipe: (fault) =>
      this.#withStore(fault, (server, users) =>
        this.#killed(server, users, fault.ms, () => rm(join(server.folder, 'appendonlydir'), { recursive: true, force: true }))
      ),
    keyedFork: (fault) => this.#withStore(fault, (server, users) => this.#forked(server, users, fault)),
    storePause: (fault) =>
      this.#withStore(fault, async (server, users) => {
        const over = this.#world.window('storePause', undefined, STORE_HEALS_MS)
        server.pause()
        const from = Date.now() + SIGNAL_MS
        await pause(fault.ms)
        this.#world.away.push({ from, to: Date.now(), ...users })
        server.resume()
        over()
      }),
    linkHole: (fault) => this.#withLink(fault, (link) => hole(link, fault.ms, 'up', 'down')),
    linkHoleOneWay: (fault) => this.#withLink(fault, (link) => hole(link, fault.ms, fault.ms % 2 === 0 ? 'up' : 'down')),
    linkHold: (fault) =>
      this.#withLink(fault, async (link) => {
        const passages = link.passages()
        for (const passage of passages) passage.hold('up', 'down')
        await pause(fault.ms)
        for (const passage of passages) passage.release()
      }),
    linkCut: (fault) =>
      this.#withLink(fault, async (link) => {
        for (const passage of link.passages()) passage.cut()
      }),
    storeReplyDrop: (fault) =>
      this.#withLink(fault, async (link) => {
        for (const passage of link.passages('evalsha')) passage.dropNextReply()
      }),
    answerDrop: async (fault) => {
      const passages = pickOf(this.#world.doors, fault.pick)?.passages() ?? []
      for (const passage of passages) passage.dropNextReply()
      return passages.length > 0
    },
    clientHole: async (fault) => this.#clients(fault, (passage) => silence(passage, 'up', 'down')),
    clientHoleOneWay: async (fault) =>
      this.#clients(fault, (passage) => silence(passage, fault.pick * 1000 - Math.floor(fault.pick * 1000) < 0.5 ? 'up' : 'down')),
    clientCut: async (fault) => this.#clients(fault, (passage) => passage.reset()),
    clientFlash: async (fault) => {
      const node = pickOf(this.#world.listening, fault.pick)
      if (node === undefined) return false
      const users = Array.from({ length: FLASHES }, (_, number) => `passer-by-${this.#world.passersBy.length + number}`)
      this.#world.passersBy.push(...users)
      await Promise.all(users.map((user, number) => flash(node.port, user, number % 2 === 0)))
      return true
    },
    revoke: async (fault) => {
      const user = pickOf(this.#users, fault.pick) as string
      const port = pickOf(this.#world.listening, fault.pick)?.port ?? 0
      return (await this.#world.caller.call(port, 'DELETE', `/v1/users/${user}/connections?revoke=true`)).status === 200
    },
    clientRestart: async (fault) => {
      await pickOf(this.#devices, fault.pick)?.restart(fault.ms)
      return true
    },
    clientForget: async (fault) => {
      await pickOf(this.#devices, fault.pick)?.restart(fault.ms, true)
      return true
    },
    slowReader: async (fault) => {
      await pickOf(this.#devices, fault.pick)?.slow(fault.ms)
      return true
    },
    frozenReader: async (fault) => {
      await pickOf(this.#devices, fault.pick)?.freeze(fault.ms)
      return true
    },
    receiverKill: (fault) => this.#receiver.kill(fault),
    receiverHang: (fault) => this.#receiver.sicken(fault, 'hanging'),
    receiverFail: (fault) => this.#receiver.sicken(fault, 'failing'),
    pushEnd: async (fault) => {
      await this.#sleepers.endSubscription(fault.pick)
      return true
    },
    slotMove: (fault) =>
      this.#withCluster('slotMove', async (cluster) => {
        const slot = slotOfUser(pickOf(this.#users, fault.pick) as string)
        const from = await cluster.ownerOf(slot)
        await cluster.moveSlot(slot, from, (from + 1) % cluster.servers.length, 2)
      }),
    masterKill: (fault) => this.#withStore(fault, (_server, users, index) => this.#masterKilled(index, users, fault.ms)),
    failover: (fault) => this.#withCluster('failover', (cluster) => cluster.failover(Math.floor(fault.pick * cluster.servers.length)))
  }

  async #withNode(fault: Fault, act: (node: ChaosNode) => Promise<void>): Promise<boolean> {
    const free = this.#world.listening.filter(({ busy }) => !busy)
    const node = pickOf(free, fault.pick)
    if (node === undefined || free.length <= this.#nodesToStay) return false
    node.busy = true
    try {
      await act(node)
    } finally {
      node.busy = false
    }
    return true
  }

  async #restarted(node: ChaosNode, ms: number, end: () => Promise<void>): Promise<void> {
    const isOnly = this.#world.nodes.length === 1
    const over = isOnly ? this.#world.window('nodeEnd', undefined, STORE_HEALS_MS, 'clockOnly') : () => undefined
    const healed = this.#world.callWindow('nodeEnd')
    await end()
    await pause(ms)
    await node.start()
    healed()
    over()
  }

  async #withLink(fault: Fault, act: (link: TcpProxy) => Promise<void>): Promise<boolean> {
    const link = pickOf(this.#world.links, fault.pick)
    if (link === undefined) return false
    const over = this.#world.window(fault.kind, this.#world.links.indexOf(link), LINK_HEALS_MS)
    await act(link)
    over()
    return true
  }

  /**
   * Acts on NATS. There is no window, unlike for faults of the connections to Redis Pub/Sub: those are made again at once, but NATS stays
   * unavailable, and until it comes again every notification must be found by the counters in time.
   */
  async #withBus(act: (nats: NatsServer) => Promise<void>): Promise<boolean> {
    const { nats } = this.#world
    if (nats === undefined || this.#busBusy) return false
    this.#busBusy = true
    try {
      await act(nats)
    } finally {
      this.#busBusy = false
    }
    return true
  }

  async #withBusLink(fault: Fault, act: (link: TcpProxy) => Promise<void>): Promise<boolean> {
    const link = pickOf(this.#world.busLinks, fault.pick)
    if (link === undefined) return false
    await act(link)
    return true
  }

  async #withStore(
    fault: Fault,
    act: (server: RedisServer, users: { users?: string[] }, index: number) => Promise<void>
  ): Promise<boolean> {
    const { redis, cluster } = this.#world
    if (this.#storeBusy) return false
    this.#storeBusy = true
    try {
      if (redis !== undefined) await act(redis, {}, 0)
      else if (cluster !== undefined) {
        const index = Math.floor(fault.pick * cluster.servers.length)
        const owners = await Promise.all(this.#users.map((user) => cluster.ownerOf(slotOfUser(user))))
        await act(cluster.servers[index] as RedisServer, { users: this.#users.filter((_, i) => owners[i] === index) }, index)
      } else return false
    } finally {
      this.#storeBusy = false
    }
    return true
  }

  async #withCluster(kind: FaultKind, act: (cluster: RedisCluster) => Promise<void>): Promise<boolean> {
    const { cluster } = this.#world
    if (cluster === undefined || this.#storeBusy) return false
    this.#storeBusy = true
    const over = this.#world.window(kind, undefined, STORE_HEALS_MS)
    try {
      await act(cluster)
    } finally {
      this.#storeBusy = false
      over()
    }
    return true
  }

  async #killed(server: RedisServer, users: { users?: string[] }, ms: number, whileDown: () => Promise<void>): Promise<void> {
    const over = this.#world.window('storeKill', undefined, STORE_HEALS_MS)
    await server.kill()
    const from = Date.now()
    await whileDown()
    await pause(ms)
    this.#world.away.push({ from, to: Date.now(), ...users })
    await server.run()
    await this.#world.cluster?.whole()
    over()
  }

  /** Disconnects every device of the user first, so that no node knows the end of the log. */
  async #forked(server: RedisServer, users: { users?: string[] }, { at, ms }: Fault): Promise<void> {
    const devices = this.#devices.filter(({ user }) => user === FORKED)
    const publish = (name: string): Promise<string> => this.#publishers.publish(FORKED, `fork-${at}-${name}`)
    await publish('kept')
    const { size } = await stat(await aofOf(server))
    await publish('lost')
    const id = await publish('repeated')
    const isShown = ({ events }: Device): boolean => events.some((event) => event.type === 'shown' && event.id === id)
    await until(() => devices.every(isShown), 'keyedFork: every device was shown the newest row', FORK_STEP_MS)
    const absences = devices.map((device) => device.leave())
    try {
      await until(async () => (await this.#publishers.connectionsOf(FORKED)) === 0, 'keyedFork: every device left', FORK_STEP_MS)
      await this.#killed(server, users, ms, async () => await cut(await aofOf(server), size))
      await publish('other')
      await publish('repeated')
    } finally {
      for (const reconnect of absences) reconnect()
    }
  }

  /** Kills a master of a Cluster, waits for the promotion of its replica, and restarts the master as a replica. */
  async #masterKilled(index: number, users: { users?: string[] }, ms: number): Promise<void> {
    const { cluster, away } = this.#world
    if (cluster === undefined) return
    const over = this.#world.window('masterKill', undefined, STORE_HEALS_MS)
    const master = cluster.servers[index] as RedisServer
    await cluster.holdWrites(index)
    await master.kill()
    const from = Date.now()
    const { notYet } = await cluster.promotion(index)
    away.push({ from, to: notYet, ...users })
    over()
    await pause(ms)
    await master.run()
    await cluster.inStep(index)
    await cluster.whole()
  }

  async #everyServer(act: (admin: ReturnType<RedisServer['client']>) => Promise<unknown>): Promise<boolean> {
    const { redis, cluster } = this.#world
    const servers = redis === undefined ? (cluster?.servers ?? []) : [redis]
    if (this.#storeBusy) return false
    for (const server of servers) await act(server.admin())
    return servers.length > 0
  }

  #clients(fault: Fault, act: (passage: ReturnType<TcpProxy['passages']>[number]) => void): boolean {
    const passage = pickOf(this.#world.balancer.passages(), fault.pick)
    if (passage !== undefined) act(passage)
    return passage !== undefined
  }
}
