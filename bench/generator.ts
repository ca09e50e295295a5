import { setTimeout as sleep } from 'node:timers/promises'
import { Crowd, type CrowdOptions, nameOf } from './crowd.ts'
import { openLoop } from './open-loop.ts'
import { BATCH_PATH } from './peers/all.ts'
import type { Fleet } from './peers/peer.ts'
import { Poster } from './poster.ts'
import { percentile } from './tally.ts'

/** Most requests in flight to one node. */
const SOCKETS = 64

/** Milliseconds to wait for missing messages at the end of a run. */
const RECEIPT_TIMEOUT_MS = 5000

const TITLE = 'Your import of 1,204 rows has finished, and 3 of them need a look'

/** Result of one run. Times are milliseconds unless the name says otherwise. */
export interface Run {
  published: number
  refused: number
  lost: number
  duplicated: number
  seconds: number
  /** Times from due to received, ascending; empty for a closed loop. */
  latencies: number[]
  /** Lateness of the generator itself, at the 99th percentile. */
  lateP99: number
}

/** Publishes to a crowd and checks that every message arrives. Each message has a unique number and a usual size of about 200 bytes. */
export class Generator {
  readonly crowd: Crowd
  readonly fleet: Fleet
  readonly #posters: Poster[]
  #next = 0

  private constructor(fleet: Fleet, crowd: Crowd) {
    this.fleet = fleet
    this.crowd = crowd
    this.#posters = fleet.ports.map((port) => new Poster(port, fleet.peer.publishPath(''), fleet.peer.headers, SOCKETS))
  }

  static async open(fleet: Fleet, users: number, options: CrowdOptions = {}): Promise<Generator> {
    return new Generator(fleet, await Crowd.open(fleet, users, options))
  }

  async close(): Promise<void> {
    for (const poster of this.#posters) poster.close()
    await this.crowd.close()
  }

  /** Publishes `count` messages to all users and nodes in turn, with `inFlight` requests in flight. */
  async closedLoop(count: number, inFlight: number): Promise<Run> {
    return this.#run(count, (from) => this.#requests(count, inFlight, (index, done) => this.#post(from + index, done)))
  }

  /** Publishes `count` messages in batches of `size`, with `inFlight` requests in flight. */
  async batches(count: number, size: number, inFlight: number): Promise<Run> {
    const requests = Math.ceil(count / size)
    return this.#run(requests * size, (from) =>
      this.#requests(requests, inFlight, (index, done) => this.#postBatch(from + index * size, size, done))
    )
  }

  /** Publishes `count` messages by `callers` that each wait for one call before the next, as the parts of a service do. */
  async callers(count: number, callers: number, call: (user: string, notification: object) => Promise<unknown>): Promise<Run> {
    return this.#run(count, (from) =>
      this.#requests(count, callers, (index, done) => {
        const user = nameOf((from + index) % this.crowd.users)
        call(user, contentOf(from + index)).then(
          () => done(202),
          () => done(0)
        )
      })
    )
  }

  /**
   * Publishes `count` messages to random users in an open loop: the rate does not depend on answers.
   *
   * @param rate messages per second
   * @param nodes number of nodes that receive publishes; default all
   */
  async openLoop(count: number, rate: number, nodes = this.#posters.length): Promise<Run> {
    const due = new Float64Array(count)
    const latencies: number[] = []
    const lateness: number[] = []
    let answered = 0
    let refused = 0
    const run = await this.#run(count, async (from) => {
      this.crowd.onReceipt = (n, now) => {
        if (n >= from && n < from + count) latencies.push(now - (due[n - from] as number))
      }
      await openLoop(count, rate, (index, at, now) => {
        due[index] = at
        lateness.push(now - at)
        const user = Math.floor(Math.random() * this.crowd.users)
        const done = (status: number): void => {
          answered += 1
          if (!accepted(status)) refused += 1
        }
        this.#postTo(user, from + index, done, index % nodes)
      })
      const deadline = performance.now() + RECEIPT_TIMEOUT_MS
      while (answered < count && performance.now() < deadline) await sleep(2)
      return refused
    })
    this.crowd.onReceipt = () => undefined
    lateness.sort((a, b) => a - b)
    return { ...run, latencies: latencies.sort((a, b) => a - b), lateP99: percentile(lateness, 99) }
  }

  async #run(count: number, publish: (from: number) => Promise<number>): Promise<Run> {
    const { crowd } = this
    const from = this.#next
    this.#next += count
    const before = { received: crowd.received, duplicated: crowd.duplicated, closed: crowd.closed }
    const start = performance.now()
    const refused = await publish(from)
    const expected = count - refused
    const deadline = performance.now() + RECEIPT_TIMEOUT_MS
    while (crowd.received - before.received < expected && performance.now() < deadline) await sleep(1)
    const seconds = (performance.now() - start) / 1000
    if (crowd.closed > before.closed) throw new Error(`${crowd.closed - before.closed} sockets were closed during the run`)
    return {
      published: count,
      refused,
      lost: Math.max(0, expected - (crowd.received - before.received)),
      duplicated: crowd.duplicated - before.duplicated,
      seconds,
      latencies: [],
      lateP99: 0
    }
  }

  #requests(count: number, inFlight: number, post: (index: number, done: (status: number) => void) => void): Promise<number> {
    return new Promise((resolve) => {
      let next = 0
      let answered = 0
      let refused = 0
      const done = (status: number): void => {
        answered += 1
        if (!accepted(status)) refused += 1
        if (answered === count) resolve(refused)
        else if (next < count) post(next++, done)
      }
      while (next < Math.min(inFlight, count)) post(next++, done)
    })
  }

  #post(n: number, done: (status: number) => void): void {
    this.#postTo(n % this.crowd.users, n, done, Math.floor(n / this.crowd.users + n) % this.#posters.length)
  }

  #postTo(user: number, n: number, done: (status: number) => void, node: number): void {
    const name = nameOf(user)
    const poster = this.#posters[node] as Poster
    poster.post(bodyOf(name, n), done, this.fleet.peer.publishPath(name))
  }

  #postBatch(from: number, size: number, done: (status: number) => void): void {
    const items = Array.from({ length: size }, (_, index) => bodyOf(nameOf((from + index) % this.crowd.users), from + index))
    const poster = this.#posters[Math.floor(from / size) % this.#posters.length] as Poster
    poster.post(`{"notifications":[${items.join()}]}`, done, BATCH_PATH)
  }
}

export function bodyOf(user: string, n: number): string {
  return `{"to":"${user}","type":"sync.done","title":"${TITLE}","timestamp":1754000000000,"ref":"/syncs/1204/report","data":{"state":"done","n":${n}}}`
}

/** Returns the content of a message, as `bodyOf` writes it. */
function contentOf(n: number): object {
  return { type: 'sync.done', title: TITLE, timestamp: 1_754_000_000_000, ref: '/syncs/1204/report', data: { state: 'done', n } }
}

function accepted(status: number): boolean {
  return status >= 200 && status < 300
}
