import type { Position } from '../../services/protocol/index.ts'
import { encodeRow, NO_TAG, rowId, rowId8, rowKind, rowTime } from '../../services/store/row.ts'
import type {
  AdvanceResult,
  AttachCommand,
  Backlog,
  ConnectionInfo,
  InboxPage,
  InboxQuery,
  Kick,
  MarkCommand,
  MarkResult,
  PublishCommand,
  PublishOptions,
  PublishResult,
  Start,
  Store,
  StoreEvents,
  StoreSettings,
  StoreStatus,
  SweepResult,
  Wake
} from '../../services/store/store.ts'

/** The clock of a suite, Unix milliseconds. */
export class Clock {
  now = 1_754_000_000_000

  advance(ms: number): void {
    this.now += ms
  }
}

/** Stores over one empty database, one per node, not opened yet. */
export interface Cluster {
  stores: Store[]
  /** Closes every store and removes the database. */
  close(): Promise<void>
  /** Closes every store. Resolves with as many new ones over the same database, not opened yet. */
  restart?(): Promise<Store[]>
}

/** A driver to be tested by the suite. `settings.clock` reads `clock`. */
export interface Setup {
  name: string
  /** Each step is slow. */
  slow?: boolean
  open(settings: StoreSettings, clock: Clock): Promise<Cluster>
}

/** Records the events that a store sends to its node. */
export class Recorder implements StoreEvents {
  readonly wakes: Wake[] = []
  readonly kicks: Kick[] = []
  readonly statuses: StoreStatus[] = []

  wake(wake: Wake): void {
    this.wakes.push(wake)
  }

  kick(kick: Kick): void {
    this.kicks.push(kick)
  }

  suspect(): void {}

  status(status: StoreStatus): void {
    this.statuses.push(status)
  }
}

export const baseSettings: StoreSettings = {
  rateLimit: 3,
  rateWindowMs: 1000,
  parkedMax: 4,
  scheduledMax: 10,
  retentionMs: 3_600_000,
  maxEntries: 10,
  maxConnections: 2,
  revocationTtlMs: 86_400_000
}

/** Returns an id in the form of `keyedId`: 12 characters that depend on the number and 8 that depend on the body. */
export function idOf(number: number, body = 0): string {
  return `n${String(number).padStart(7, '0')}----${String(body).padStart(8, '0')}`
}

export function tailOf(number: number): string {
  return `"type":"t","title":"№ ${number}","timestamp":${number}}`
}

/** Returns the result of an advance whose other counts are 0. */
export function advanced(result: Partial<AdvanceResult>): AdvanceResult {
  const counts = { released: 0, folded: 0, delivered: 0, expired: 0, checked: 0, called: 0, dropped: 0 }
  return { ...counts, waiting: 0, nextAt: 0, lanes: [], ...result }
}

/** Returns the result of a sweep whose other counts are 0. */
export function swept(result: Partial<SweepResult>): SweepResult {
  const { nextAt: _nextAt, waiting: _waiting, ...counts } = advanced({})
  return { ...counts, due: [], ...result }
}

interface SendOptions {
  body?: number
  keyed?: boolean
  halfLife?: number
  options?: PublishOptions
  store?: Store
}

/** A user on opened stores. */
export class Stage {
  readonly clock: Clock
  readonly user: string
  readonly settings: StoreSettings
  stores: Store[]
  recorders: Recorder[]
  /** Closes all stores and opens new ones over the same database. */
  restart: () => Promise<void> = async () => {}

  constructor(clock: Clock, user: string, settings: StoreSettings, stores: Store[], recorders: Recorder[]) {
    this.clock = clock
    this.user = user
    this.settings = settings
    this.stores = stores
    this.recorders = recorders
  }

  get store(): Store {
    return this.stores[0] as Store
  }

  /** The store of another node; with a single node, the same store. */
  get other(): Store {
    return this.stores.at(-1) as Store
  }

  wakes(node = 0): Wake[] {
    return (this.recorders[node] as Recorder).wakes.filter((wake) => wake.user === this.user)
  }

  kicks(node = 0): Kick[] {
    return (this.recorders[node] as Recorder).kicks.filter((kick) => kick.user === this.user)
  }

  command(number: number, options: SendOptions = {}): PublishCommand {
    const { body = 0, keyed = false, halfLife = 0 } = options
    return { user: this.user, id: idOf(number, body), keyed, tail: tailOf(number), halfLife, options: options.options }
  }

  send(number: number, options: SendOptions = {}): Promise<PublishResult> {
    return (options.store ?? this.store).publish(this.command(number, options))
  }

  /** Publishes the notifications `from` to `to`. Resolves with the epoch of the log. */
  async fill(from: number, to: number): Promise<string> {
    let epoch = ''
    for (let number = from; number <= to; number++) {
      const result = await this.send(number)
      if (result.status !== 'accepted') throw new Error(`not accepted: ${number} was ${result.status}`)
      epoch = result.epoch
    }
    return epoch
  }

  /** Returns the row of a notification as `texts` shows it, without the tag that its log gave it. */
  row(number: number, ms = this.clock.now, body = 0): Buffer {
    return encodeRow('n', ms, idOf(number, body), NO_TAG, tailOf(number))
  }

  connection(name: string, node = 0): ConnectionInfo {
    return { connectionId: name, deviceId: 'phone', node: `node-${node}`, connectedAt: this.clock.now, address: '192.0.2.1' }
  }

  attachCommand(start: Start, overrides: Partial<AttachCommand> = {}): AttachCommand {
    const connections = overrides.connections ?? [this.connection('c1')]
    return { user: this.user, deviceId: 'phone', start, connections, issuedAt: this.clock.now, seen: undefined, limit: 100, ...overrides }
  }

  /** Attaches on the first node. Rejects if the attach is refused. */
  async attach(start: Start, overrides: Partial<AttachCommand> = {}): Promise<Backlog> {
    const result = await this.store.attach(this.attachCommand(start, overrides))
    if (result.status !== 'attached') throw new Error(`not attached: ${result.status}`)
    return result.backlog
  }

  /** Resolves with the position of a retained row. */
  async position(offset: number): Promise<Position> {
    const { epoch, rows, start } = await this.log()
    return { epoch, offset, id8: rowId8(rows[offset - start.offset - 1] as Buffer) }
  }

  /** Reads the whole log, without registering the node. */
  async log(): Promise<Backlog> {
    const { first, head } = await this.store.queue(this.user)
    const position = { epoch: head.epoch, offset: Math.max(0, first.offset - 1), id8: '' }
    return await this.store.read({ user: this.user, position, seen: undefined, limit: 5000 })
  }
}

/** Returns a row without its tag, which depends on every row before it. */
export function untagged(row: Buffer): Buffer {
  const header = encodeRow(rowKind(row), rowTime(row), rowId(row), NO_TAG, '')
  return Buffer.concat([header, row.subarray(header.length)])
}

export function texts(rows: Buffer[]): string[] {
  return rows.map((row) => untagged(row).toString())
}

/** Returns the number of each row's id (`idOf`). */
export function numbers(rows: Buffer[]): number[] {
  return rows.map((row) => Number(rowId(row).slice(1, 8)))
}

export function at(epoch: string, offset: number, id8 = ''): Start {
  return { at: 'position', position: { epoch, offset, id8 } }
}

/** Reads a page of the inbox. Rejects if `before` is of another log. */
export async function pageOf(store: Store, query: InboxQuery): Promise<InboxPage> {
  const page = await store.inbox(query)
  if (page === 'restarted') throw new Error('the place is of an earlier log')
  return page
}

/** Marks notifications. Rejects if `upTo` is of another log. */
export async function marked(store: Store, command: MarkCommand): Promise<MarkResult> {
  const result = await store.mark(command)
  if (result === 'restarted') throw new Error('the place is of an earlier log')
  return result
}
