import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet } from './peers/peer.ts'
import { openMany, type RawSocket, type Target } from './raw-socket.ts'

/** Name of the field with the message's number, the last one in each message. */
const NUMBER_FIELD = Buffer.from('"n":')
const COMMA = 0x2c
const BRACE = 0x7d

/** Highest number of messages in the life of a crowd. */
const MAX_MESSAGES = 4_000_000

/** Ping packet of Engine.IO: the character 2. A client must answer with 3. */
const ENGINE_IO_PING = 0x32

export interface CrowdOptions {
  /** Handshakes in flight; default 100. */
  atOnce?: number
  /** Target of each user's socket, by index; default: the peer's own target. */
  target?: (index: number) => Target
  /** Number of the first user; default 0. */
  first?: number
  /** Query appended to the peer's path; default none. */
  query?: string
}

/** Returns the name of user `index`. */
export function nameOf(index: number): string {
  return `user-${index}`
}

/** Users with one socket each, spread over the nodes. Counts the messages that they receive. */
export class Crowd {
  /** Receipts by message number. */
  readonly receipts = new Uint8Array(MAX_MESSAGES)
  /** Called on the first receipt of each message. */
  onReceipt: (n: number, now: number) => void = () => undefined
  received = 0
  duplicated = 0
  closed = 0
  readonly fleet: Fleet
  readonly users: number
  readonly #ready: Buffer
  #sockets: RawSocket[] = []
  #readyCount = 0

  /** Creates a crowd that is not connected yet. */
  constructor(fleet: Fleet, users: number) {
    this.fleet = fleet
    this.users = users
    this.#ready = Buffer.from(fleet.peer.ready)
  }

  /** Connects a crowd; resolves when every socket receives messages. */
  static async open(fleet: Fleet, users: number, options: CrowdOptions = {}): Promise<Crowd> {
    const crowd = new Crowd(fleet, users)
    await crowd.connect(options)
    return crowd
  }

  async connect({ atOnce = 100, first = 0, query = '', target }: CrowdOptions = {}): Promise<void> {
    const { peer, ports } = this.fleet
    const peerTarget = (index: number): Target => {
      const { path, ...rest } = peer.target(ports[index % ports.length] as number, nameOf(first + index))
      return { ...rest, path: `${path}${query}` }
    }
    const events = { text: (socket: RawSocket, payload: Buffer) => this.#text(socket, payload), close: () => this.#countClosed() }
    this.#readyCount = 0
    this.#sockets = await openMany(this.users, target ?? peerTarget, events, atOnce)
    if (peer.greeting !== '') for (const socket of this.#sockets) socket.send(peer.greeting)
    if (peer.ready !== '') await within(30_000, () => this.#readyCount >= this.users, `${this.users} ready sockets of ${peer.label}`)
  }

  /** Closes all sockets. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await within(30_000, () => this.closed >= this.#sockets.length, 'the sockets to close')
    this.closed = 0
    this.#sockets = []
  }

  #countClosed(): void {
    this.closed += 1
  }

  #text(socket: RawSocket, payload: Buffer): void {
    const at = payload.lastIndexOf(NUMBER_FIELD)
    if (at >= 0) this.#count(numberAt(payload, at + NUMBER_FIELD.length))
    else if (payload.length === 1 && payload[0] === ENGINE_IO_PING) socket.send('3')
    else if (this.#ready.length > 0 && payload.subarray(0, this.#ready.length).equals(this.#ready)) this.#readyCount += 1
  }

  #count(n: number): void {
    const receipts = (this.receipts[n] ?? 0) + 1
    this.receipts[n] = receipts
    if (receipts > 1) this.duplicated += 1
    else {
      this.received += 1
      this.onReceipt(n, performance.now())
    }
  }
}

function numberAt(payload: Buffer, from: number): number {
  let n = 0
  for (let at = from; ; at++) {
    const digit = payload[at] ?? BRACE
    if (digit === COMMA || digit === BRACE) return n
    n = n * 10 + digit - 0x30
  }
}

/** Waits for the condition; rejects if it is not true within `ms`. */
export async function within(ms: number, condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + ms
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(2)
  }
}
