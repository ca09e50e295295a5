import type { Answer } from '../../services/protocol/index.ts'
import type { DeviceJournal, Publish, ShownOptions, UserLog } from './journal.ts'

/** The options of the notifications of one user, from the log, the answers to publishers, and the frames that devices got. */
export class KnownOptions {
  /** Id of each notification that a publisher, a device or the log names. */
  readonly ids = new Set<string>()
  /** The answers in the log. */
  readonly answers = new Map<string, Answer>()
  readonly #expiries = new Map<string, number>()
  readonly #keys = new Map<string, string>()
  readonly #contenders = new Map<string, Set<string>>()
  readonly #endedAt: number

  /** @param endedAt when the log was read, Unix milliseconds */
  constructor(log: UserLog, devices: DeviceJournal[], publishes: Publish[], endedAt: number) {
    this.#endedAt = endedAt
    for (const { key, attempts, options = {} } of publishes) {
      const taken = attempts.find(({ result }) => result !== undefined)
      const { expiresAt, ttl, collapseKey } = options
      // If no node answered, the key stands for the notification, which may have been accepted.
      this.#compete(collapseKey, taken?.result?.id ?? key)
      if (taken?.result === undefined) continue
      const from = Math.max(taken.doneAt, options.deliverAt ?? 0)
      this.#learn(taken.result.id, { collapseKey, expiresAt: ttl === undefined ? expiresAt : from + 1000 * ttl })
    }
    for (const { events } of devices) for (const event of events) if (event.type === 'shown') this.#learn(event.id, event)
    for (const { kind, id, ids = [], options = {} } of log.rows) {
      if (kind === 'n') this.#learn(id, options)
      if (kind === 'a' && options.answer !== undefined && !this.answers.has(ids[0] ?? '')) this.answers.set(ids[0] ?? '', options.answer)
    }
  }

  keyOf(id: string): string | undefined {
    return this.#keys.get(id)
  }

  /** Returns when the notification expires, Unix milliseconds, exactly if a device or the log has it, else at the latest; 0: never. */
  expiryOf(id: string): number {
    return this.answers.has(id) ? 0 : (this.#expiries.get(id) ?? 0)
  }

  /** Returns whether the notification may have left the log without a recall: it expired, or another one of its key took its place. */
  mayLeave(id: string): boolean {
    const expiresAt = this.expiryOf(id)
    return (expiresAt > 0 && expiresAt <= this.#endedAt) || (this.#contenders.get(this.#keys.get(id) ?? '')?.size ?? 0) > 1
  }

  /**
   * Returns whether a device may never show the notification: it may have left the log; or the device got it after its expiry, and dropped it by
   * its own clock, before it got the answer that made it stay.
   */
  mayBeUnseen(id: string): boolean {
    const expiresAt = this.#expiries.get(id) ?? 0
    return this.mayLeave(id) || (expiresAt > 0 && expiresAt <= this.#endedAt)
  }

  /** Returns the ids of each collapse key. One of a publish that no node answered is its key. */
  groups(): [collapseKey: string, ids: string[]][] {
    return [...this.#contenders].map(([collapseKey, ids]) => [collapseKey, [...ids]])
  }

  #learn(id: string, { collapseKey, expiresAt }: { [Name in keyof ShownOptions]?: ShownOptions[Name] | undefined }): void {
    this.ids.add(id)
    if (expiresAt !== undefined) this.#expiries.set(id, expiresAt)
    if (collapseKey === undefined) return
    this.#keys.set(id, collapseKey)
    this.#compete(collapseKey, id)
  }

  #compete(collapseKey: string | undefined, id: string): void {
    if (collapseKey === undefined) return
    const ids = this.#contenders.get(collapseKey) ?? new Set()
    this.#contenders.set(collapseKey, ids.add(id))
  }
}
