import { randomBytes } from 'node:crypto'
import { newEpoch, newId } from '../../services/ids.ts'
import type { Position } from '../../services/protocol/index.ts'
import { admit } from '../../services/store/admit.ts'
import { advanceUsers } from '../../services/store/advance-users.ts'
import { nearestTime } from '../../services/store/due.ts'
import { leaseFrom } from '../../services/store/lease-users.ts'
import { INLINE_MAX } from '../../services/store/limits.ts'
import { Machine } from '../../services/store/machine.ts'
import { nearestByLane } from '../../services/store/outbox-state.ts'
import { leaseResult } from '../../services/store/outbox-step.ts'
import { rowTime } from '../../services/store/row.ts'
import { appendedRows, emptyState, type UserState } from '../../services/store/state.ts'
import type {
  AdvanceResult,
  AnswerCommand,
  AnswerResult,
  AttachCommand,
  AttachResult,
  Backlog,
  ConnectionInfo,
  DisconnectCommand,
  FindResult,
  InboxPage,
  InboxQuery,
  LeaseResult,
  MarkCommand,
  MarkResult,
  Outbox,
  PublishCommand,
  PublishResult,
  QueueInfo,
  ReadCommand,
  RetractResult,
  ScheduledPage,
  ScheduledQuery,
  Store,
  StoreEvents,
  StoreSettings,
  StoreStatus,
  SweepResult
} from '../../services/store/store.ts'
import { type AudiencesState, emptyAudiences, ReferenceAudiences } from './reference-audiences.ts'
import type { Setup } from './stage.ts'

interface Shared {
  forgetsConnections: boolean
  registersSince: number
  settings: StoreSettings
  states: Map<string, UserState>
  secrets: Map<string, Buffer>
  audiences: AudiencesState
  nodes: Map<string, { events: StoreEvents; registry: Map<string, ConnectionInfo[]> }>
}

/** The state machine as a store in memory, for any number of nodes: every driver is compared with it. */
class ReferenceStore implements Store {
  readonly outbox: Outbox
  readonly audiences: ReferenceAudiences
  readonly #shared: Shared
  #node = ''

  constructor(shared: Shared) {
    this.#shared = shared
    this.outbox = this.#makeOutbox()
    const users = (): string[] => [...shared.states].flatMap(([user, { epoch }]) => (epoch === '' ? [] : [user]))
    this.audiences = new ReferenceAudiences(shared.audiences, () => this.now(), users)
  }

  async open(node: string, events: StoreEvents): Promise<void> {
    this.#node = node
    if (this.#shared.forgetsConnections) {
      this.#shared.registersSince = this.now()
      this.#shared.audiences.leases.clear()
    }
    this.#shared.nodes.set(node, { events, registry: new Map() })
  }

  async close(): Promise<void> {
    this.#shared.nodes.delete(this.#node)
  }

  status(): StoreStatus {
    return { available: true, reason: '', durability: 'none', full: false, damage: '' }
  }

  availableTo(): boolean {
    return true
  }

  now(): number {
    return this.#shared.settings.clock?.() ?? Date.now()
  }

  differingNodes(): number {
    return 0
  }

  async publish(command: PublishCommand): Promise<PublishResult> {
    const result = this.#step(command.user, (machine) => machine.publish(command))
    return result.status === 'accepted' && !result.replayed ? { ...result, nodes: this.#holders(command.user).length } : result
  }

  async advance(user: string): Promise<AdvanceResult> {
    return this.#step(user, (machine) => machine.advance())
  }

  async sweep(): Promise<SweepResult> {
    const now = this.now()
    const isDue = (state: UserState): boolean => {
      const time = nearestTime(state)
      return state.parked.length > 0 || (time > 0 && time <= now)
    }
    const users = [...this.#shared.states].flatMap(([user, state]) => (isDue(state) ? [user] : []))
    return await advanceUsers(users, users.length, (user) => this.advance(user))
  }

  async attach(command: AttachCommand): Promise<AttachResult> {
    const { user, connections } = command
    const elsewhere = this.#holders(user).filter((name) => name !== this.#node)
    const others = elsewhere.flatMap((name) => this.#shared.nodes.get(name)?.registry.get(user) ?? [])
    const admission = admit(command, others, this.#state(user).revokedBefore, this.#shared.settings.maxConnections)
    if (admission.status === 'limit' && others.length > 0) return { status: 'limit', silentMs: 0 }
    if (admission.status !== 'admitted') return admission
    const { displaced } = admission
    const backlog = this.#step(user, (machine) => machine.attach(command))
    for (const { node, connectionId } of displaced) if (node !== this.#node) this.#displace(user, node, connectionId)
    await this.detach(user, connections)
    return {
      status: 'attached',
      backlog,
      displaced: displaced.flatMap(({ node, connectionId }) => (node === this.#node ? [connectionId] : []))
    }
  }

  async read(command: ReadCommand): Promise<Backlog> {
    return this.#step(command.user, (machine) => machine.read(command))
  }

  async detach(user: string, connections: ConnectionInfo[]): Promise<void> {
    const registry = this.#shared.nodes.get(this.#node)?.registry
    if (connections.length > 0) registry?.set(user, connections)
    else registry?.delete(user)
  }

  async ack(user: string, deviceId: string, position: Position): Promise<void> {
    this.#step(user, (machine) => machine.ack(deviceId, position))
  }

  async mark(command: MarkCommand): Promise<MarkResult | 'restarted'> {
    return this.#step(command.user, (machine) => machine.mark(command))
  }

  async retract(user: string, id: string, reason: string, broadcastAt?: number, only?: 'scheduled'): Promise<RetractResult> {
    return this.#step(user, (machine) => machine.retract(id, reason, broadcastAt, only))
  }

  async inbox(query: InboxQuery): Promise<InboxPage | 'restarted'> {
    return this.#step(query.user, (machine) => machine.inbox(query))
  }

  async answer(command: AnswerCommand): Promise<AnswerResult> {
    return this.#step(command.user, (machine) => machine.answer(command))
  }

  async scheduled(query: ScheduledQuery): Promise<ScheduledPage> {
    return this.#step(query.user, (machine) => machine.scheduled(query))
  }

  async erase(user: string): Promise<void> {
    this.audiences.leaveAll(user)
    this.#step(user, (machine) => machine.erase())
    for (const { events, registry } of this.#shared.nodes.values()) {
      if (registry.delete(user)) events.kick({ user, connectionId: undefined, reason: 'erased', revoked: false })
    }
    this.audiences.eraseName(user)
  }

  async secret(name: string): Promise<Buffer> {
    return this.#shared.secrets.get(name) ?? this.#makeSecret(name)
  }

  async find(user: string, id: string): Promise<FindResult | undefined> {
    return this.#step(user, (machine) => machine.find(id))
  }

  async queue(user: string): Promise<QueueInfo> {
    return this.#step(user, (machine) => machine.queue())
  }

  async connections(user: string): Promise<ConnectionInfo[]> {
    return [...this.#shared.nodes.values()].flatMap(({ registry }) => registry.get(user) ?? [])
  }

  async disconnect(command: DisconnectCommand): Promise<number> {
    const { user, connectionId, reason, revoke } = command
    if (revoke) this.#step(user, (machine) => machine.revoke())
    let closed = 0
    for (const { events, registry } of this.#shared.nodes.values()) {
      const concerned = (registry.get(user) ?? []).filter(
        (connection) => connectionId === undefined || connection.connectionId === connectionId
      )
      if (concerned.length > 0) events.kick({ user, connectionId, reason, revoked: revoke })
      closed += concerned.length
    }
    return closed
  }

  async revokedBefore(user: string): Promise<number> {
    return this.#state(user).revokedBefore
  }

  #makeOutbox(): Outbox {
    const leaseOf = (user: string, lane: string, limit: number): LeaseResult =>
      leaseResult(
        user,
        this.#step(user, ({ outbox }) => outbox.lease(lane, limit))
      )
    return {
      putSubscription: async (user, subscription) => this.#step(user, ({ outbox }) => outbox.subscribe(subscription)),
      deleteSubscription: async (user, deviceId) => this.#step(user, ({ outbox }) => outbox.unsubscribe(deviceId)),
      subscriptions: async (user) => this.#step(user, ({ outbox }) => outbox.subscriptions()),
      lease: async ({ lane, limit, user }) =>
        user === undefined
          ? await leaseFrom(this.#callers(lane), limit, async (caller, share) => leaseOf(caller, lane, share))
          : leaseOf(user, lane, limit),
      notePresence: async (user, change) => this.#step(user, ({ outbox }) => outbox.notePresence(change)),
      settle: async ({ user, ...command }) => this.#step(user, ({ outbox }) => outbox.settle(command))
    }
  }

  /** Returns the users with calls in a lane that are due, those first whose call has been due longest. */
  #callers(lane: string): string[] {
    const now = this.now()
    const callers = [...this.#shared.states].map(([user, state]) => ({ user, at: nearestByLane(state).get(lane) ?? now + 1 }))
    const due = callers.filter(({ at }) => at <= now)
    return due.sort((one, other) => one.at - other.at || (one.user < other.user ? -1 : 1)).map(({ user }) => user)
  }

  #makeSecret(name: string): Buffer {
    const secret = randomBytes(32)
    this.#shared.secrets.set(name, secret)
    return secret
  }

  #displace(user: string, node: string, connectionId: string): void {
    const holder = this.#shared.nodes.get(node)
    const remaining = holder?.registry.get(user)?.filter((connection) => connection.connectionId !== connectionId) ?? []
    if (remaining.length > 0) holder?.registry.set(user, remaining)
    else holder?.registry.delete(user)
    holder?.events.kick({ user, connectionId, reason: '', revoked: false, displaced: true })
  }

  #holders(user: string): string[] {
    return [...this.#shared.nodes].filter(([, { registry }]) => registry.has(user)).map(([name]) => name)
  }

  #state(user: string): UserState {
    let state = this.#shared.states.get(user)
    if (state === undefined) {
      state = emptyState()
      this.#shared.states.set(user, state)
    }
    return state
  }

  #step<Result>(user: string, step: (machine: Machine) => Result): Result {
    const { settings, nodes, registersSince } = this.#shared
    const state = this.#state(user)
    const listening = this.#holders(user).length > 0
    const context = { now: this.now(), newEpoch: newEpoch(), newId: newId(), listening, registersSince }
    const before = { epoch: state.epoch, top: state.top }
    const machine = new Machine(state, settings, context)
    const result = step(machine)
    for (const { epoch, offset, row } of appendedRows(before, machine.effects)) {
      if (!(rowTime(row) > 0)) throw new Error('a row without a time')
      const wake = { user, epoch, offset, row: row.length <= INLINE_MAX ? row : undefined }
      for (const { events, registry } of nodes.values()) if (registry.has(user)) events.wake(wake)
    }
    return result
  }
}

/** @param forgetsConnections the registry, and the leases of batches, are lost with the process, as those of the embedded store */
export function referenceSetup(nodes: number, { forgetsConnections = false } = {}): Setup {
  return {
    name: `the bare machine, ${nodes} nodes`,
    open: async (settings) => {
      const shared: Shared = {
        settings,
        states: new Map(),
        secrets: new Map(),
        audiences: emptyAudiences(),
        nodes: new Map(),
        forgetsConnections,
        registersSince: 0
      }
      const make = (): Store[] => Array.from({ length: nodes }, () => new ReferenceStore(shared))
      let stores = make()
      const closeAll = async (): Promise<void> => {
        await Promise.all(stores.map((store) => store.close()))
      }
      return {
        stores,
        close: closeAll,
        restart: async () => {
          await closeAll()
          stores = make()
          return stores
        }
      }
    }
  }
}
