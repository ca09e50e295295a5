import fc from 'fast-check'
import type { Test } from 'tap'
import { type Position, STATES, type State } from '../../services/protocol/index.ts'
import type {
  CallOutcome,
  Kick,
  LeaseCommand,
  LeasedCall,
  LeaseResult,
  LogPlace,
  ReachRule,
  Start,
  Store,
  StoreSettings,
  Unless,
  WebhookEvent
} from '../../services/store/store.ts'
import { baseSettings, Clock, type Cluster, idOf, Recorder, type Setup } from '../conformance/stage.ts'
import { until } from '../fixtures/wait.ts'
import { Names } from './names.ts'

/** A position in a command, which means the same on both sides, whatever epochs and tags they have generated. */
interface Place {
  /** Index of an epoch in the order of their appearance; -1: an epoch that never existed. */
  epoch: number
  offset: number
  id: 'none' | 'own' | 'wrong'
}

type Command =
  | {
      do: 'publish'
      user: number
      key: number
      body: number
      halfLife: number
      /** Milliseconds from now; 0: none. */
      expiresIn: number
      deliverIn: number
      collapseKey: string
      level: number
      actions: readonly string[]
      push: false | ReachRule | undefined
      fallback: ReachRule | undefined
    }
  | { do: 'subscribe'; user: number; device: number; lane: string; endpoint: number }
  | { do: 'unsubscribe'; user: number; device: number }
  | { do: 'arrived' | 'left'; user: number }
  | { do: 'lease'; user: number; lane: string; limit: number; afterMs: number }
  | { do: 'leaseAll'; lane: string }
  | { do: 'settle'; call: number; outcome: CallOutcome['status']; ms: number; endpoint: number }
  | { do: 'advance' | 'queue' | 'connections' | 'disconnect' | 'revoke' | 'scheduled' | 'erase'; user: number }
  | { do: 'answer'; user: number; note: number; action: string; device: number }
  | { do: 'sweep' | 'restart' }
  | { do: 'clock'; ms: number }
  | {
      do: 'attach'
      user: number
      device: number
      start: Start['at']
      place: Place
      seen: number
      sockets: number
      age: number
      limit: number
      bytes: number | undefined
    }
  | { do: 'read'; user: number; place: Place; seen: number; limit: number; bytes: number | undefined }
  | { do: 'detach'; user: number; sockets: number }
  | { do: 'ack'; user: number; device: number; place: Place }
  | { do: 'mark'; user: number; notes: number[]; state: State; only: State | undefined; ageMs: number | undefined }
  | { do: 'markUpTo'; user: number; place: Place; state: State; only: State | undefined; ageMs: number | undefined }
  | { do: 'retract' | 'cancel' | 'find'; user: number; note: number }
  | {
      do: 'inbox'
      user: number
      states: State[] | undefined
      types: string[] | undefined
      before: Place | undefined
      limit: number
      isCounted: boolean | undefined
    }

const user = fc.integer({ min: 0, max: 1 })
const note = fc.integer({ min: 0, max: 30 })
const device = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 2 }) }, { weight: 1, arbitrary: fc.integer({ min: 3, max: 30 }) })
const state = fc.constantFrom<State>(...STATES)
const only = fc.constantFrom<State | undefined>(undefined, undefined, ...STATES)
const ageMs = fc.constantFrom(undefined, undefined, 0, 1, 400, 1400, 3_600_000)
const limit = fc.constantFrom(1, 3, 100)
const bytes = fc.constantFrom(undefined, 1, 150, 65_536)
const sockets = fc.integer({ min: 0, max: 3 })
const seen = fc.constantFrom(-1, 0, 0, 0, 1, 4, 1500)
const place: fc.Arbitrary<Place> = fc.record({
  epoch: fc.constantFrom(0, 0, 0, 1, 2, -1),
  offset: fc.integer({ min: 0, max: 30 }),
  id: fc.constantFrom('none', 'own', 'own', 'wrong')
})
const named = <Name extends string>(name: Name): fc.Arbitrary<Name> => fc.constant(name)

const unless = fc.constantFrom<Unless>('delivered', 'seen', 'read')
const rule: fc.Arbitrary<ReachRule> = fc.record({ afterMs: fc.constantFrom(0, 1, 400, 1000, 1001, 60_000), unless })
const LANES = ['fcm', 'apple', 'webhook']
const lane = fc.constantFrom(...LANES)

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: named('publish'),
      user,
      key: fc.integer({ min: -6, max: 5 }),
      body: fc.constantFrom(0, 0, 0, 1),
      halfLife: fc.constantFrom(0, 0, 1, 60),
      expiresIn: fc.constantFrom(0, 0, 0, 0, 1, 400, 1000, 2000, 60_000, 1_800_000),
      deliverIn: fc.constantFrom(0, 0, 0, 0, 0, 1, 400, 1000, 60_000),
      collapseKey: fc.constantFrom('', '', '', 'a', 'b "c" \\'),
      level: fc.constantFrom(0, 0, 0, 1, -1, -2),
      actions: fc.constantFrom([], [], ['yes', 'no'], ['-']),
      push: fc.option(fc.oneof(fc.constant<false>(false), rule), { freq: 3, nil: undefined }),
      fallback: fc.option(rule, { freq: 3, nil: undefined })
    })
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: named('clock'),
      ms: fc.constantFrom(1, 400, 999, 1000, 4001, 60_000, 1_800_000, 3_600_000, -400, -3_600_000)
    })
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom('advance', 'advance', 'queue', 'connections', 'disconnect', 'revoke', 'scheduled'), user })
  },
  { weight: 1, arbitrary: fc.record({ do: named('erase'), user }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: named('answer'), user, note, action: fc.constantFrom('yes', 'no', 'later', '-', 'yes,no', ''), device })
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('sweep', 'restart') }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: named('subscribe'),
      user,
      device,
      lane: fc.constantFrom('fcm', 'apple'),
      endpoint: fc.integer({ min: 0, max: 1 })
    })
  },
  { weight: 1, arbitrary: fc.record({ do: named('unsubscribe'), user, device }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('arrived', 'arrived', 'left'), user }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: named('lease'),
      user,
      lane,
      limit: fc.constantFrom(1, 3, 100),
      afterMs: fc.constantFrom(0, 400, 1000, 1001)
    })
  },
  { weight: 2, arbitrary: fc.record({ do: named('leaseAll'), lane }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: named('settle'),
      call: fc.integer({ min: 0, max: 30 }),
      outcome: fc.constantFrom<CallOutcome['status']>('done', 'retry', 'unsent', 'givenUp', 'gone'),
      ms: fc.constantFrom(0, 400, 5000),
      endpoint: fc.integer({ min: 0, max: 1 })
    })
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: named('attach'),
      user,
      device,
      start: fc.constantFrom<Start['at']>('position', 'position', 'earliest', 'latest', 'device', 'unknown'),
      place,
      seen,
      sockets: fc.integer({ min: 1, max: 3 }),
      age: fc.constantFrom(0, 0, 500),
      limit,
      bytes
    })
  },
  { weight: 2, arbitrary: fc.record({ do: named('read'), user, place, seen, limit, bytes }) },
  { weight: 1, arbitrary: fc.record({ do: named('detach'), user, sockets }) },
  { weight: 3, arbitrary: fc.record({ do: named('ack'), user, device, place }) },
  { weight: 3, arbitrary: fc.record({ do: named('mark'), user, notes: fc.array(note, { maxLength: 4 }), state, only, ageMs }) },
  { weight: 2, arbitrary: fc.record({ do: named('markUpTo'), user, place, state, only, ageMs }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('retract', 'cancel', 'find'), user, note }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: named('inbox'),
      user,
      states: fc.option(fc.array(state, { maxLength: 2 }), { nil: undefined }),
      types: fc.option(fc.array(fc.constantFrom('t.0', 't.1', 't.*', 't.2*', 'u"*', '*', 'x'), { maxLength: 2 }), { nil: undefined }),
      before: fc.option(place, { nil: undefined }),
      limit,
      isCounted: fc.constantFrom(undefined, false, true)
    })
  }
)

/** One of the two sides: a cluster whose first node is used, and the names of its generated values. */
class Player {
  readonly clock: Clock
  readonly names = new Names()
  readonly settings: StoreSettings
  readonly cluster: Cluster
  store: Store
  recorder = new Recorder()
  #sent: string[] = []
  /** Calls that were leased, the latest at the end. */
  #leased: LeasedCall[] = []
  #epochs = ['', '']
  #tops = [0, 0]

  private constructor(settings: StoreSettings, clock: Clock, cluster: Cluster) {
    this.settings = settings
    this.clock = clock
    this.cluster = cluster
    this.store = cluster.stores[0] as Store
  }

  static async open(setup: Setup, values: StoreSettings): Promise<Player> {
    const clock = new Clock()
    const settings = { ...values, clock: () => clock.now }
    const player = new Player(settings, clock, await setup.open(settings, clock))
    await player.#openAll(player.cluster.stores)
    return player
  }

  async #openAll(stores: Store[]): Promise<void> {
    this.store = stores[0] as Store
    this.recorder = new Recorder()
    await Promise.all(stores.map((store, node) => store.open(`node-${node}`, node === 0 ? this.recorder : new Recorder())))
  }

  async restart(): Promise<void> {
    if (this.cluster.restart !== undefined) await this.#openAll(await this.cluster.restart())
  }

  /** Carries out a command. Resolves with its result as text that means the same on both sides. */
  async play(command: Command): Promise<string> {
    const result = await this.#play(command)
    if ('user' in command) {
      const { head } = await this.store.queue(`user-${command.user}`)
      this.#epochs[command.user] = head.epoch
      this.#tops[command.user] = head.offset
    }
    return this.names.textOf(result)
  }

  /** Resolves with everything that can be read of both users, as text. */
  async everything(): Promise<string> {
    const all: unknown[] = []
    for (const user of ['user-0', 'user-1']) {
      const queue = await this.store.queue(user)
      const unseen = await this.store.inbox({ user, states: ['unread'], before: undefined, limit: 1, isCounted: true })
      if (unseen === 'restarted' || unseen.count !== queue.unseen) throw new Error(`${queue.unseen} unseen of ${JSON.stringify(unseen)}`)
      const position = { epoch: queue.head.epoch, offset: Math.max(0, queue.first.offset - 1), id8: '' }
      all.push(queue, await this.store.read({ user, position, seen: undefined, limit: 5000 }), await this.store.revokedBefore(user))
      all.push(await this.store.inbox({ user, states: undefined, before: undefined, limit: 5000 }), await this.store.connections(user))
      all.push(await this.store.scheduled({ user, after: undefined, limit: 5000 }))
      all.push(await this.store.outbox.subscriptions(user), await this.store.advance(user))
      for (const id of this.#sent) all.push(await this.store.find(user, id))
    }
    this.clock.advance(60_000)
    for (const lane of LANES)
      all.push(await this.#lease({ lane, limit: 5000, user: 'user-0' }), await this.#lease({ lane, limit: 5000, user: 'user-1' }))
    return this.names.textOf(all)
  }

  #play(command: Command): Promise<unknown> {
    const { store, clock } = this
    const user = 'user' in command ? `user-${command.user}` : ''
    switch (command.do) {
      case 'publish': {
        const keyed = command.key >= 0
        const number = keyed ? command.key : 100 + this.#sent.length
        const id = idOf(number, keyed ? command.body : 0)
        if (!this.#sent.includes(id)) this.#sent.push(id)
        const { expiresIn, deliverIn, collapseKey, level, actions, push, fallback } = command
        const deliverAt = deliverIn === 0 ? 0 : clock.now + deliverIn
        const expiresAt = expiresIn === 0 ? 0 : clock.now + deliverIn + expiresIn
        const isPlain =
          deliverAt + expiresAt + level + actions.length === 0 && collapseKey === '' && push === undefined && fallback === undefined
        const rules = { ...(push !== undefined && { push }), ...(fallback !== undefined && { fallback }) }
        const options = isPlain ? undefined : { expiresAt, deliverAt, collapseKey, level, actions: [...actions], ...rules }
        return store.publish({ user, id, keyed, tail: tailOf(number), halfLife: command.halfLife, options })
      }
      case 'clock':
        clock.advance(command.ms)
        return Promise.resolve()
      case 'restart':
        return this.restart()
      case 'sweep':
        return store.sweep().then(({ due, ...rest }) => ({ ...rest, due: due.sort((a, b) => (a.user < b.user ? -1 : 1)) }))
      case 'subscribe': {
        const deviceId = `device-${command.device}`
        const subscription = { deviceId, endpoint: endpointOf(command), p256dh: 'p', auth: 'a', expirationTime: 0, lane: command.lane }
        return store.outbox.putSubscription(user, subscription)
      }
      case 'unsubscribe':
        return store.outbox.deleteSubscription(user, `device-${command.device}`)
      case 'arrived':
      case 'left':
        return store.outbox.notePresence(user, command.do)
      case 'lease':
        clock.advance(command.afterMs)
        return store
          .advance(user)
          .then(async (advanced) => [advanced, await this.#lease({ lane: command.lane, limit: command.limit, user })])
      case 'leaseAll':
        return this.#lease({ lane: command.lane, limit: 5000 })
      case 'settle': {
        const call = this.#leased.at(-1 - command.call) ?? this.#leased.at(-1)
        if (call === undefined) return Promise.resolve()
        const outcome = { status: command.outcome, at: clock.now + command.ms, endpoint: endpointOf(command) } as CallOutcome
        return store.outbox.settle({ user: call.user, epoch: call.epoch, no: call.no, madeAt: call.madeAt, attempt: call.attempt, outcome })
      }
      case 'scheduled':
        return store.scheduled({ user, after: undefined, limit: 2 })
      case 'answer':
        return store.answer({ user, id: this.#id(command.note), action: command.action, deviceId: `device-${command.device}` })
      case 'advance':
      case 'erase':
      case 'queue':
      case 'connections':
        return store[command.do](user)
      case 'disconnect':
      case 'revoke':
        return store.disconnect({ user, connectionId: undefined, reason: command.do, revoke: command.do === 'revoke' })
      case 'attach': {
        const start: Start = command.start === 'position' ? { at: 'position', position: this.#position(command) } : { at: command.start }
        const connections = this.#connections(command.sockets)
        const deviceId = `device-${command.device}`
        const issuedAt = clock.now - command.age
        const { limit, bytes } = command
        return store.attach({ user, deviceId, start, connections, issuedAt, seen: this.#seen(command), limit, bytes })
      }
      case 'read': {
        const { limit, bytes } = command
        return store.read({ user, position: this.#position(command), seen: this.#seen(command), limit, bytes })
      }
      case 'detach':
        return store.detach(user, this.#connections(command.sockets))
      case 'ack':
        return store.ack(user, `device-${command.device}`, this.#position(command))
      case 'mark':
        return store.mark({
          user,
          target: { ids: command.notes.map((note) => this.#id(note)) },
          state: command.state,
          only: command.only,
          ageMs: command.ageMs
        })
      case 'markUpTo':
        return store.mark({
          user,
          target: { upTo: this.#position(command) },
          state: command.state,
          only: command.only,
          ageMs: command.ageMs
        })
      case 'retract':
        return store.retract(user, this.#id(command.note), 'reason')
      case 'cancel':
        return store.retract(user, this.#id(command.note), 'reason', undefined, 'scheduled')
      case 'find':
        return store.find(user, this.#id(command.note))
      case 'inbox':
        return store.inbox({
          user,
          states: command.states,
          types: command.types,
          before: command.before && this.#position({ place: command.before }),
          limit: command.limit,
          isCounted: command.isCounted
        })
    }
  }

  /** Leases calls. Only those of one user are in order. */
  async #lease(command: LeaseCommand): Promise<LeaseResult> {
    const { calls, dropped } = await this.store.outbox.lease(command)
    const sorted = byUser(calls)
    this.#leased.push(...sorted)
    return { calls: sorted, dropped }
  }

  #id(note: number): string {
    return this.#sent.length === 0 ? idOf(999) : (this.#sent[note % this.#sent.length] as string)
  }

  #connections(count: number) {
    const { now } = this.clock
    const socket = (index: number) => ({ connectionId: `c${index}`, deviceId: 'd', node: 'node-0', connectedAt: now, address: 'a' })
    return Array.from({ length: count }, (_, index) => socket(index))
  }

  /** Returns the place `seen` rows above the top of the log; undefined if `seen` is negative. */
  #seen({ user, seen }: { user: number; seen: number }): LogPlace | undefined {
    const epoch = this.#epochs[user] as string
    return seen < 0 || epoch === '' ? undefined : { epoch, offset: (this.#tops[user] as number) + seen }
  }

  #position({ place }: { place: Place }): Position {
    const epoch = this.names.epoch(place.epoch)
    const own = place.id === 'own' ? this.names.id8(epoch, place.offset) : ''
    return { epoch, offset: place.offset, id8: place.id === 'wrong' ? 'n0000999' : own }
  }
}

/** Returns the tail of a notification. Its type follows from the number. */
function tailOf(number: number): string {
  const type = number % 4 === 3 ? 'u\\"' : `t.${number % 4}`
  return `"type":"${type}","title":"№ ${number}","timestamp":${number}}`
}

function endpointOf({ endpoint }: { endpoint: number }): string {
  return `https://push.test/${endpoint}`
}

/** Sorts items by user, because only those of one user are in order. */
function byUser<Item extends { user: string }>(items: Item[]): Item[] {
  return [...items].sort((a, b) => (a.user < b.user ? -1 : a.user > b.user ? 1 : 0))
}

/** Plays random sequences of commands on two set-ups, and checks that results, wake-ups, orders to close and the final state are the same. */
export async function equality(t: Test, one: Setup, two: Setup, numRuns: number): Promise<void> {
  const property = fc.asyncProperty(
    fc.array(command, { minLength: 1, maxLength: 80, size: 'max' }),
    fc.constantFrom(3, 3, 0),
    async (list, rateLimit) => {
      const push: ReachRule = { afterMs: 1000, unless: 'delivered' }
      const webhookEvents: WebhookEvent[] = [
        'notification.fallback',
        'notification.answered',
        'notification.expired',
        'user.online',
        'user.offline'
      ]
      const presence = { graceMs: 400, checkMs: 1000 }
      const settings: StoreSettings = { ...baseSettings, rateLimit, push, webhookEvents, presence }
      const players = [await Player.open(one, settings), await Player.open(two, settings)] as const
      const [left, right] = players
      const same = (what: string, ...texts: string[]): void => {
        if (texts[0] !== texts[1]) throw new Error(`${what}\n${one.name}: ${texts[0]}\n${two.name}: ${texts[1]}`)
      }
      const sameEvents = async (): Promise<void> => {
        // A driver that can lose messages repeats an order to close all connections, by id, to a node that still lists one of them.
        const first = ({ recorder }: Player): Kick[] =>
          recorder.kicks.filter(({ connectionId, reason }) => connectionId === undefined || reason !== 'disconnect')
        const told = (player: Player): string => player.names.textOf([byUser(player.recorder.wakes), byUser(first(player))])
        await until(() => left.recorder.wakes.length <= right.recorder.wakes.length, 'all wake-ups', 500).catch(() => {})
        same('wake-ups and kicks', told(left), told(right))
      }
      try {
        for (const [index, command] of list.entries()) {
          if (command.do === 'restart' || command.do === 'detach') await sameEvents()
          if (command.do === 'restart') {
            if (left.cluster.restart === undefined || right.cluster.restart === undefined) continue
          }
          same(`command ${index}, ${command.do}`, await left.play(command), await right.play(command))
        }
        same('the end', await left.everything(), await right.everything())
        await sameEvents()
      } finally {
        await Promise.all(players.map(({ cluster }) => cluster.close()))
      }
    }
  )
  const details = await fc.check(property, { numRuns, interruptAfterTimeLimit: 60_000 })
  if (details.failed) t.comment(fc.defaultReportMessage(details), String(details.errorInstance))
  t.notOk(details.failed, `${one.name} equals ${two.name}, seed ${details.seed}`)
}
