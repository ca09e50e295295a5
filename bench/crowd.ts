import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet } from './peers/peer.ts'
import { openMany, type RawSocket, type Target } from './raw-socket.ts'

const MARK = Buffer.from('"n":')
const DIGITS_END = 0x2c
const BRACE = 0x7d

/** Messages that may be counted in one run. */
const MOST = 4_000_000

/** Engine.IO's heartbeat, as text. */
const PING = 0x32

export interface CrowdOptions {
  /** Handshakes in flight. */
  atOnce?: number
  /** Instead of the peer's own, by the user's index. */
  target?: (index: number) => Target
  /** The first user's number. */
  first?: number
  /** After the peer's own path; default: nothing. */
  query?: string
}

/** A name for user `index`. */
export function nameOf(index: number): string {
  return `user-${index}`
}

/** Users with one socket each, spread over the nodes, who count what they get. */
export class Crowd {
  /** By number: how often it came. */
  readonly times = new Uint8Array(MOST)
  /** Told of every first receipt. */
  onReceipt: (n: number, now: number) => void = () => undefined
  received = 0
  duplicated = 0
  closed = 0
  readonly fleet: Fleet
  readonly users: number
  readonly #ready: Buffer
  #sockets: RawSocket[] = []
  #readyCount = 0

  /** Nobody is connected yet. */
  constructor(fleet: Fleet, users: number) {
    this.fleet = fleet
    this.users = users
    this.#ready = Buffer.from(fleet.peer.ready)
  }

  /** Resolves when every one of them hears. */
  static async open(fleet: Fleet, users: number, options: CrowdOptions = {}): Promise<Crowd> {
    const crowd = new Crowd(fleet, users)
    await crowd.connect(options)
    return crowd
  }

  async connect({ atOnce = 100, first = 0, query = '', target }: CrowdOptions = {}): Promise<void> {
    const { peer, ports } = this.fleet
    const own = (index: number): Target => {
      const { path, ...rest } = peer.target(ports[index % ports.length] as number, nameOf(first + index))
      return { ...rest, path: `${path}${query}` }
    }
    const events = { text: (socket: RawSocket, payload: Buffer) => this.#text(socket, payload), close: () => this.#closedOne() }
    this.#readyCount = 0
    this.#sockets = await openMany(this.users, target ?? own, events, atOnce)
    if (peer.greeting !== '') for (const socket of this.#sockets) socket.send(peer.greeting)
    if (peer.ready !== '') await within(30_000, () => this.#readyCount >= this.users, `${this.users} ready sockets of ${peer.label}`)
  }

  /** Lets everybody go, and forgets what was counted. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await within(30_000, () => this.closed >= this.#sockets.length, 'the sockets to close')
    this.closed = 0
    this.#sockets = []
  }

  #closedOne(): void {
    this.closed += 1
  }

  #text(socket: RawSocket, payload: Buffer): void {
    const at = payload.lastIndexOf(MARK)
    if (at >= 0) this.#count(numberAt(payload, at + MARK.length))
    else if (payload.length === 1 && payload[0] === PING) socket.send('3')
    else if (this.#ready.length > 0 && payload.subarray(0, this.#ready.length).equals(this.#ready)) this.#readyCount += 1
  }

  #count(n: number): void {
    const times = (this.times[n] ?? 0) + 1
    this.times[n] = times
    if (times > 1) this.duplicated += 1
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
    if (digit === DIGITS_END || digit === BRACE) return n
    n = n * 10 + digit - 0x30
  }
}

/** Waits for the condition; rejects when it does not hold within `ms`. */
export async function within(ms: number, condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + ms
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(2)
  }
}
