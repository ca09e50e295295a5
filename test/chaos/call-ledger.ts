import type { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { rowId, rowKind } from '../../services/store/row.ts'
import type { CallOutcome } from '../../services/store/store.ts'
import { type Answered, notificationOf, numberOf } from './embedded-child.ts'

/** One lease of a call that a process told of, and the outcome that the process told the store. */
interface KnownLease {
  attempt: number
  outcome: CallOutcome['status']
  /** The store answered the outcome. */
  isSettled: boolean
  /** Processes that had been killed when the call was leased. */
  kills: number
}

/** The calls of one user that killed processes leased and settled. */
export class CallLedger {
  /** Number of the call by notification. */
  readonly #noByNotification = new Map<number, number>()
  /** The latest lease by the number of the call. */
  readonly #leases = new Map<number, KnownLease>()
  readonly faults: string[] = []
  /** Outcomes that the store answered, by status. */
  readonly settled = new Map<CallOutcome['status'], number>()
  #kills = 0

  get count(): number {
    return this.#noByNotification.size
  }

  /** Notes a message of a process. Those that do not concern calls are ignored. */
  note(answered: Answered): void {
    if (answered.op === 'lease') this.#noteLease(answered.number, answered.no, answered.attempt, answered.outcome)
    else if (answered.op === 'settle') this.#noteSettled(answered.no)
  }

  noteKill(): void {
    this.#kills += 1
  }

  /** @param outcome the outcome that the process is going to tell */
  #noteLease(notification: number, no: number, attempt: number, outcome: CallOutcome['status']): void {
    const known = this.#noByNotification.get(notification)
    if (known !== undefined && known !== no) this.faults.push(`${notification} has the calls ${known} and ${no}`)
    this.#noByNotification.set(notification, no)
    this.#checkAttempt(no, attempt)
    this.#leases.set(no, { attempt, outcome, isSettled: false, kills: this.#kills })
  }

  #noteSettled(no: number): void {
    const lease = this.#leases.get(no) as KnownLease
    lease.isSettled = true
    this.settled.set(lease.outcome, (this.settled.get(lease.outcome) ?? 0) + 1)
  }

  /**
   * Leases and settles what is left, and returns the faults: a call that is there twice, one that comes back, one with a wrong number of attempts, one
   * that was given back and is not leased again, and one that was never made although its notification is in the log and unread.
   *
   * @param owed numbers of the notifications that were accepted with a fallback
   * @param store a store whose clock is past every lease
   */
  async finish(store: EmbeddedStore, user: string, owed: number[]): Promise<string[]> {
    for (;;) {
      const { called } = await store.advance(user)
      const { calls, dropped } = await store.outbox.lease({ lane: 'webhook', limit: 100, user })
      for (const call of calls) {
        const { epoch, no, madeAt, attempt } = call
        this.#noteLease(notificationOf(call), no, attempt, 'done')
        await store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome: { status: 'done' } })
        this.#noteSettled(no)
      }
      if (called + dropped + calls.length === 0) break
    }
    const { epoch } = (await store.queue(user)).head
    const { rows, states } = await store.read({ user, position: { epoch, offset: 0, id8: '' }, seen: undefined, limit: 1e9 })
    const unread = new Set(rows.filter((row) => rowKind(row) === 'n' && !states.has(rowId(row))).map(numberOf))
    const waiting = owed.filter((number) => unread.has(number))
    const missing = waiting.filter((number) => !this.#noByNotification.has(number))
    const lost = waiting.filter((number) => this.#isOpen(number))
    return [
      ...this.faults,
      ...missing.map((number) => `${number} is unread, and was never called for`),
      ...lost.map((number) => `${number} is unread, and its call was given back and not leased again`)
    ]
  }

  /**
   * Checks the number of an attempt. A call that was given back without an attempt has the same number again, any other one the next number. A
   * process may be killed before it told of a lease, or of the answer to an outcome.
   */
  #checkAttempt(no: number, attempt: number): void {
    const lease = this.#leases.get(no)
    const killed = this.#kills - (lease?.kills ?? 0)
    if (lease?.isSettled === true && lease.outcome === 'done') this.faults.push(`call ${no} was settled, and is leased again`)
    if (lease?.isSettled === false && killed === 0) this.faults.push(`call ${no} is leased twice at one time`)
    const least = lease === undefined ? 1 : lease.attempt + (lease.outcome === 'unsent' ? 0 : 1)
    const most = least + killed
    if (attempt < least || attempt > most) this.faults.push(`call ${no} has the attempt ${attempt} instead of ${least} to ${most}`)
  }

  /** Returns true if the store must lease the call for a notification again. */
  #isOpen(notification: number): boolean {
    const lease = this.#leases.get(this.#noByNotification.get(notification) ?? 0)
    return lease !== undefined && lease.outcome !== 'done'
  }
}
