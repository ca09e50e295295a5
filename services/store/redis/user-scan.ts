import { setTimeout } from 'node:timers/promises'
import type { Availability } from './availability.ts'
import { CommandNotSent } from './command-not-sent.ts'
import type { Keys } from './keys.ts'
import type { Master } from './master.ts'

/** Number of keys that one step of the scan reads, and of steps that one call makes. */
const STEP = 1000
const STEPS = 10
/** Pause between two steps, milliseconds: the scan of a large database must not hold up publishes. */
const PAUSE_MS = 2

/**
 * A search for all users who have a log, over the keys of each master. It misses keys that move from a master before it gets there to one where it
 * has been: so no slot may be moving when it begins and when it ends, and no master may have taken over a slot in between. The search of a master begins again
 * after its connection was lost, because a cursor means nothing after a restart. A user may be found more than once.
 */
export class UserScan {
  readonly #availability: Availability
  readonly #keys: Keys
  #layout = ''
  #masters: Master[] = []
  #cursor = '0'
  /** The masters and the cursor with which the latest call began. */
  #begun: { masters: Master[]; cursor: string } = { masters: [], cursor: '0' }
  /** The connection for which the cursor holds. */
  #stream: unknown
  isDone = false

  constructor(availability: Availability, keys: Keys) {
    this.#availability = availability
    this.#keys = keys
  }

  /** Resolves with further users. Rejects if a master is not available or a slot moves; a new search must then begin. */
  async next(): Promise<string[]> {
    if (this.#layout === '') await this.#begin()
    this.#begun = { masters: [...this.#masters], cursor: this.#cursor }
    const users: string[] = []
    for (let step = 0; step < STEPS; step++) {
      const [master] = this.#masters
      if (master === undefined) {
        await this.#assertStable()
        this.isDone = true
        break
      }
      const [cursor, found] = await this.#step(master)
      users.push(...found)
      this.#cursor = cursor
      if (cursor === '0') this.#masters.shift()
      await setTimeout(PAUSE_MS)
    }
    return users
  }

  /** Takes the latest call back: the next one searches the same keys again. */
  repeat(): void {
    this.#masters = this.#begun.masters
    this.#cursor = this.#begun.cursor
    this.isDone = false
  }

  async #step(master: Master): Promise<[cursor: string, users: string[]]> {
    const { commands } = master
    const { stream } = commands
    if (stream !== this.#stream) this.#cursor = '0'
    this.#stream = stream
    const [cursor, keys] = await master.track(() => commands.scan(this.#cursor, 'MATCH', this.#keys.metas, 'COUNT', STEP))
    const haveLogs = await master.track(() => Promise.all(keys.map((key) => commands.hexists(key, 'e'))))
    if (commands.stream !== stream) throw new CommandNotSent('the connection was lost during a scan')
    return [cursor, keys.filter((_key, index) => haveLogs[index] === 1).map((key) => this.#keys.userOf(key, 'META'))]
  }

  async #begin(): Promise<void> {
    await this.#assertStable()
    this.#layout = await this.#readLayout()
    this.#masters = [...this.#availability.available]
  }

  /** Rejects if a slot moves, or has another owner than when the search began. A server refuses a command for the missing key of a slot that moves. */
  async #assertStable(): Promise<void> {
    const guards = this.#keys.guards
    const asked = this.#availability.available.map((master) =>
      master.track(() => Promise.all(master.buckets.map((bucket) => master.commands.exists(guards[bucket] as string))))
    )
    await Promise.all(asked)
    const layout = await this.#readLayout()
    if (this.#layout !== '' && layout !== this.#layout) throw new CommandNotSent('buckets have moved to other masters during a scan')
  }

  /** Returns the buckets and the config epoch of each master. A master's epoch grows when it takes a slot over, also one that it had before. */
  async #readLayout(): Promise<string> {
    const { available } = this.#availability
    const buckets = available.reduce((count, master) => count + master.buckets.length, 0)
    if (buckets < this.#keys.guards.length) throw new CommandNotSent('a part of Redis is not available')
    const parts = available.map(async (master) => `${master.address}=${master.buckets.join()}@${await epochOf(master)}`)
    return (await Promise.all(parts)).join(' ')
  }
}

/** Returns the config epoch of a master of a Cluster; '' for a single server. */
async function epochOf(master: Master): Promise<string> {
  if (master.address === '') return ''
  const info = await master.track(() => master.commands.cluster('INFO'))
  return /cluster_my_epoch:(\d+)/.exec(info)?.[1] ?? ''
}
