import fc from 'fast-check'
import type { Test } from 'tap'
import { BATCH_LEASE_MS, BROADCAST_KEPT_MS } from '../../services/store/audiences.ts'
import type { Audience, Batch, LeaseBatchResult, StartResult, Store, StoreSettings } from '../../services/store/store.ts'
import { baseSettings, Clock, type Cluster, idOf, Recorder, type Setup, tailOf } from '../conformance/stage.ts'

/** Members are added and removed by groups, so that few commands make several batches. */
const GROUP = 180
const GROUPS = 4

type Command =
  | { do: 'change'; topic: number; add: number[]; remove: number[] }
  | { do: 'start'; topic: number; key: number; keyed: boolean; body: number; except: number[] }
  | { do: 'lease' | 'cancel' | 'broadcast'; broadcast: number }
  | { do: 'settle'; batch: number; parked: number; rejected: number }
  | { do: 'release'; batch: number }
  | { do: 'clock'; ms: number }
  | { do: 'publish' | 'erase' | 'topics'; user: number }
  | { do: 'deleteTopic' | 'members'; topic: number }
  | { do: 'restart' }

/** Topic 2 stands for everyone. */
const topic = fc.constantFrom(0, 0, 0, 1, 2)
const named = fc.constantFrom(0, 0, 0, 1)
const groups = fc.uniqueArray(fc.integer({ min: 0, max: GROUPS - 1 }), { maxLength: GROUPS })
const broadcast = fc.integer({ min: 0, max: 3 })
const user = fc.integer({ min: 0, max: 3 })
const name = <Name extends string>(value: Name): fc.Arbitrary<Name> => fc.constant(value)

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: name('change'), topic: named, add: groups, remove: groups }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: name('start'),
      topic,
      key: fc.integer({ min: 0, max: 3 }),
      keyed: fc.boolean(),
      body: fc.constantFrom(0, 0, 1),
      except: fc.array(fc.integer({ min: 0, max: GROUP * GROUPS - 1 }), { maxLength: 3 })
    })
  },
  { weight: 5, arbitrary: fc.record({ do: name('lease'), broadcast }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('cancel', 'broadcast'), broadcast }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: name('settle'), batch: fc.constantFrom(0, 0, 0, 1, 2), parked: fc.nat(2), rejected: fc.nat(2) })
  },
  { weight: 1, arbitrary: fc.record({ do: name('release'), batch: fc.constantFrom(0, 0, 1) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: name('clock'),
      ms: fc.constantFrom(1, 1000, BATCH_LEASE_MS - 1, BATCH_LEASE_MS, BATCH_LEASE_MS, BROADCAST_KEPT_MS)
    })
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('publish', 'publish', 'erase', 'topics'), user }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('deleteTopic', 'members'), topic: named }) },
  { weight: 1, arbitrary: fc.record({ do: name('restart') }) }
)

/** One of the two sides. The order of an audience is its own: only the numbers of users in batches are compared. */
class Player {
  readonly #clock: Clock
  readonly cluster: Cluster
  #store: Store
  readonly #ids: string[] = []
  readonly #batches: Batch[] = []
  readonly #membersByBatch = new Map<string, string[]>()
  readonly #sizeByBatch = new Map<string, number>()
  #starts = 0

  private constructor(clock: Clock, cluster: Cluster) {
    this.#clock = clock
    this.cluster = cluster
    this.#store = cluster.stores[0] as Store
  }

  static async open(setup: Setup): Promise<Player> {
    const clock = new Clock()
    const settings: StoreSettings = { ...baseSettings, rateLimit: 0, clock: () => clock.now }
    const player = new Player(clock, await setup.open(settings, clock))
    await player.#open(player.cluster.stores)
    return player
  }

  async #open(stores: Store[]): Promise<void> {
    this.#store = stores[0] as Store
    await this.#store.open('node-0', new Recorder())
  }

  /** Carries out a command. Resolves with its result as text that means the same on both sides. */
  async play(command: Command): Promise<string> {
    return JSON.stringify([await this.#play(command), (await this.#store.audiences.waiting()).sort()])
  }

  /** Settles all batches of all broadcasts. Resolves with what can be read at the end, as text. */
  async everything(): Promise<string> {
    const { audiences } = this.#store
    const all: unknown[] = []
    this.#clock.advance(BATCH_LEASE_MS)
    for (let waiting = await audiences.waiting(); waiting.length > 0; waiting = await audiences.waiting()) {
      for (const id of waiting.sort()) {
        let result = await this.#leaseAll(id)
        for (; result.status === 'batch'; result = await this.#settle(result.batch, 0, 0)) all.push(this.#note(result.batch))
        all.push(result.status)
      }
    }
    for (const topic of ['topic 0', 'topic 1']) all.push((await audiences.members(topic, undefined, 5000)).items.sort())
    for (const id of this.#ids) {
      const broadcast = await audiences.broadcast(id)
      all.push(broadcast, broadcast === undefined || this.#isRepeated(id) ? null : this.#audienceOf(id, broadcast.status === 'cancelled'))
    }
    return JSON.stringify(all)
  }

  /**
   * Returns the audience of a broadcast that is done, without those who were erased. Of a cancelled one, the number of members: each store has sent
   * other batches.
   */
  #audienceOf(id: string, isCancelled: boolean): string[] | number {
    const users = this.#usersOf(id, false)
    if (new Set(users).size !== users.length) throw new Error(`${id}: a member is in two batches`)
    if (!isCancelled) return users
    if (this.#usersOf(id, true).join() !== users.join()) throw new Error(`${id}: the recall has other members`)
    return [...this.#sizeByBatch].reduce((sum, [key, size]) => (key.startsWith(`${id} false `) ? sum + size : sum), 0)
  }

  #usersOf(id: string, isRecall: boolean): string[] {
    const batches = [...this.#membersByBatch].filter(([key]) => key.startsWith(`${id} ${isRecall} `))
    return batches.flatMap(([, users]) => users).sort()
  }

  async #play(command: Command): Promise<unknown> {
    const { audiences } = this.#store
    const id = 'broadcast' in command ? (this.#ids.at(-1 - command.broadcast) ?? `00${idOf(999)}`) : ''
    switch (command.do) {
      case 'change': {
        const remove = command.remove.filter((group) => !command.add.includes(group))
        return audiences.changeMembers({ topic: `topic ${command.topic}`, add: membersOf(command.add), remove: membersOf(remove) })
      }
      case 'start':
        return this.#start(command)
      case 'lease':
        return this.#told(await this.#leaseAll(id))
      case 'cancel':
      case 'broadcast':
        return audiences[command.do](id)
      case 'settle': {
        const batch = this.#batches.at(-1 - command.batch)
        return batch && this.#told(await this.#settle(batch, command.parked, command.rejected))
      }
      case 'release': {
        const batch = this.#batches.at(-1 - command.batch)
        return batch && (await audiences.release(batch))
      }
      case 'clock':
        this.#clock.advance(command.ms)
        return null
      case 'publish': {
        const { status } = await this.#store.publish({ user: nameOf(command.user), id: idOf(1), keyed: true, tail: tailOf(1), halfLife: 0 })
        return status
      }
      case 'erase':
        await this.#store.erase(nameOf(command.user))
        for (const [key, users] of this.#membersByBatch)
          this.#membersByBatch.set(
            key,
            users.filter((name) => name !== nameOf(command.user))
          )
        return null
      case 'topics':
        return audiences.topicsOf(nameOf(command.user))
      case 'members':
        return (await audiences.members(`topic ${command.topic}`, undefined, 5000)).items.sort()
      case 'deleteTopic':
        return audiences.deleteTopic(`topic ${command.topic}`)
      case 'restart':
        if (this.cluster.restart !== undefined) await this.#open(await this.cluster.restart())
        return null
    }
  }

  async #start({ topic, key, keyed, body, except }: Extract<Command, { do: 'start' }>): Promise<unknown> {
    this.#starts += 1
    const to: Audience = { ...(topic === 2 ? { everyone: true as const } : { topic: `topic ${topic}` }), except: except.map(nameOf) }
    const id = idOf(keyed ? 10 * topic + key : 1000 + this.#starts, body)
    const result: StartResult = await this.#store.audiences.start({ to, id, keyed, tail: tailOf(key), halfLife: 0 })
    if (result.status === 'started') this.#ids.push(result.broadcast.id)
    if (result.status !== 'started') return result
    return [result.broadcast, result.batch === undefined ? null : this.#note(result.batch)]
  }

  /** Leases until the audience is complete: the stores need different numbers of steps for that. */
  async #leaseAll(id: string): Promise<LeaseBatchResult> {
    for (;;) {
      const result = await this.#store.audiences.lease(id)
      if (result.status !== 'collecting') return result
    }
  }

  async #settle(batch: Batch, parked: number, rejected: number): Promise<LeaseBatchResult> {
    const { broadcastId, from, isRecall, size } = batch
    const counts = isRecall ? { accepted: 0, parked: 0, rejected: 0 } : { accepted: size, parked, rejected }
    const result = await this.#store.audiences.settle({ broadcastId, from, isRecall, size, ...counts })
    if (result.status !== 'collecting') return result
    return await this.#leaseAll(broadcastId)
  }

  #told(result: LeaseBatchResult): unknown {
    return result.status === 'batch' ? this.#note(result.batch) : result.status
  }

  /** Notes a batch. One that is leased again must have the same members, without those who were erased since. */
  #note(batch: Batch): unknown {
    const { users, ...rest } = batch
    const key = `${batch.broadcastId} ${batch.isRecall} ${batch.from}`
    const members = [...users].sort()
    const known = this.#membersByBatch.get(key)
    if (known !== undefined && known.join() !== members.join() && !this.#isRepeated(batch.broadcastId))
      throw new Error(`${key} has other members`)
    this.#membersByBatch.set(key, members)
    this.#sizeByBatch.set(key, batch.size)
    this.#batches.push(batch)
    return rest
  }

  /** Returns whether an id was started twice: its first broadcast was no longer kept. */
  #isRepeated(broadcastId: string): boolean {
    return this.#ids.filter((id) => id === broadcastId).length > 1
  }
}

function nameOf(index: number): string {
  return `user ${index}`
}

function membersOf(groups: number[]): string[] {
  return groups.flatMap((group) => Array.from({ length: GROUP }, (_, index) => nameOf(group * GROUP + index)))
}

/** Plays random sequences of commands of topics and broadcasts on two set-ups, and checks that results and audiences are the same. */
export async function audienceEquality(t: Test, one: Setup, two: Setup, numRuns: number): Promise<void> {
  const property = fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40, size: 'max' }), async (list) => {
    const [left, right] = [await Player.open(one), await Player.open(two)]
    const same = (what: string, ...texts: string[]): void => {
      if (texts[0] !== texts[1]) throw new Error(`${what}\n${one.name}: ${texts[0]}\n${two.name}: ${texts[1]}`)
    }
    try {
      const canRestart = left.cluster.restart !== undefined && right.cluster.restart !== undefined
      for (const [index, command] of list.entries()) {
        if (command.do === 'restart' && !canRestart) continue
        same(`command ${index}, ${JSON.stringify(command)}`, await left.play(command), await right.play(command))
      }
      same('the end', await left.everything(), await right.everything())
    } finally {
      await Promise.all([left, right].map(({ cluster }) => cluster.close()))
    }
  })
  const details = await fc.check(property, { numRuns, interruptAfterTimeLimit: 30_000 })
  if (details.failed) t.comment(fc.defaultReportMessage(details), String(details.errorInstance))
  t.notOk(details.failed, `${one.name} equals ${two.name}, seed ${details.seed}`)
}
