import type { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { rowId, rowKind } from '../../services/store/row.ts'
import { notificationOf, numberOf } from './embedded-child.ts'

/** The calls of one user that killed processes leased and settled. */
export class CallLedger {
  /** Number of the call by notification. */
  readonly #noByNotification = new Map<number, number>()
  readonly #settled = new Set<number>()
  readonly faults: string[] = []

  get count(): number {
    return this.#noByNotification.size
  }

  noteLease(notification: number, no: number): void {
    const known = this.#noByNotification.get(notification)
    if (known !== undefined && known !== no) this.faults.push(`${notification} has the calls ${known} and ${no}`)
    if (this.#settled.has(no)) this.faults.push(`call ${no} was settled, and is leased again`)
    this.#noByNotification.set(notification, no)
  }

  noteSettled(no: number): void {
    this.#settled.add(no)
  }

  /**
   * Leases and settles what is left, and returns the faults: a call that is there twice, one that comes back, and one that was never made although
   * its notification is in the log and unread.
   *
   * @param owed numbers of the notifications that were accepted with a fallback
   * @param store a store whose clock is past every lease
   */
  async finish(store: EmbeddedStore, user: string, owed: number[]): Promise<string[]> {
    for (;;) {
      const { called } = await store.advance(user)
      const { calls, dropped } = await store.outbox.lease({ lane: 'webhook', limit: 100, user })
      for (const call of calls) {
        this.noteLease(notificationOf(call), call.no)
        const { epoch, no, attempt } = call
        await store.outbox.settle({ user, epoch, no, attempt, outcome: { status: 'done' } })
        this.noteSettled(no)
      }
      if (called + dropped + calls.length === 0) break
    }
    const { epoch } = (await store.queue(user)).head
    const { rows, states } = await store.read({ user, position: { epoch, offset: 0, id8: '' }, seen: undefined, limit: 1e9 })
    const unread = new Set(rows.filter((row) => rowKind(row) === 'n' && !states.has(rowId(row))).map(numberOf))
    const missing = owed.filter((number) => unread.has(number) && !this.#noByNotification.has(number))
    return [...this.faults, ...missing.map((number) => `${number} is unread, and was never called for`)]
  }
}
