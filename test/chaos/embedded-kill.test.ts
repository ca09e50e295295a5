import { rm } from 'node:fs/promises'
import type { Test } from 'tap'
import t from 'tap'
import type { Answer, State } from '../../services/protocol/index.ts'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { IDEMPOTENCY_WINDOW, LEASE_MS } from '../../services/store/limits.ts'
import { answeredIn, retractedOffset, retractionIn, rowId, rowKind, rowTime, stateChangeIn } from '../../services/store/row.ts'
import type { PublishOptions } from '../../services/store/store.ts'
import { temporaryFolder } from '../conformance/embedded-setup.ts'
import { idOf, Recorder } from '../conformance/stage.ts'
import { until } from '../fixtures/wait.ts'
import { CallLedger } from './call-ledger.ts'
import { type Answered, chaosSettings, chaosUsers, numberOf, optionsOf, subscriptionOf } from './embedded-child.ts'
import { runUntilKilled } from './killed-child.ts'

const CYCLES = 22
const PER_CYCLE = 100_000

/** The answers that the killed processes got about one user. */
class Ledger {
  readonly published = new Map<number, { offset: number | undefined; options: PublishOptions }>()
  readonly answers = new Map<number, Answer>()
  /** Pairs of different answers to one notification. */
  readonly disputes: unknown[] = []
  readonly marked = new Map<number, State>()
  readonly retracted = new Set<number>()
  readonly calls = new CallLedger()
  acked = 0

  note(answered: Answered): void {
    if (answered.op === 'publish') this.published.set(answered.number, answered)
    else if (answered.op === 'answer') this.#noteAnswer(answered.number, answered.answer)
    else if (answered.op === 'ack') this.acked = Math.max(this.acked, answered.offset)
    else if (answered.op === 'mark') for (const number of answered.numbers) this.marked.set(number, answered.state)
    else if (answered.op === 'retract') this.retracted.add(answered.number)
    else this.calls.note(answered)
  }

  /** Returns whether a notification that is in no place may have left: it expired, was recalled, or gave way to another one of its key. */
  mayLeave(number: number, now: number): boolean {
    const { expiresAt = now + 1, collapseKey } = this.published.get(number)?.options ?? {}
    return this.retracted.has(number) || collapseKey !== undefined || (expiresAt <= now && !this.answers.has(number))
  }

  #noteAnswer(number: number, answer: Answer): void {
    const first = this.answers.get(number)
    if (first === undefined) this.answers.set(number, answer)
    else if (first.deviceId !== answer.deviceId || first.action !== answer.action) this.disputes.push([first, answer])
  }
}

/** Returns the faults of a notification that is in the log: it has expired, it is early, or another one of its key is there, too. */
function faultsOf(ledger: Ledger, row: Buffer, isAnswered: boolean, now: number, idByKey: Map<string, string>): string[] {
  const id = rowId(row)
  const number = numberOf(row)
  const { expiresAt = now + 1, deliverAt = 0 } = ledger.published.get(number)?.options ?? {}
  const { collapseKey = '' } = optionsOf(number, now)
  const faults: string[] = []
  if (expiresAt <= now && !isAnswered) faults.push(`${id} has expired`)
  if (rowTime(row) < deliverAt) faults.push(`${id} is early`)
  if (collapseKey !== '' && idByKey.has(collapseKey)) faults.push(`${id} and ${idByKey.get(collapseKey)} have the key ${collapseKey}`)
  if (collapseKey !== '') idByKey.set(collapseKey, id)
  return faults
}

/** Checks one user's log against the answers. Returns its number of rows. */
async function check(t: Test, store: EmbeddedStore, user: string, ledger: Ledger, when: string): Promise<number> {
  const now = store.now()
  const { head, first, parked, scheduled, unread, unseen, devices } = await store.queue(user)
  const position = { epoch: head.epoch, offset: 0, id8: '' }
  const { rows, states, answers } = await store.read({ user, position, seen: undefined, limit: 1e9 })
  const wrong: string[] = ledger.disputes.map((dispute) => `two answers: ${JSON.stringify(dispute)}`)
  if (first.offset !== 1 || rows.length !== head.offset) wrong.push(`${rows.length} rows, head ${head.offset}`)
  const places = new Map<string, number>()
  let counted = 0
  let stateRows = 0
  const answered = new Set<string>()
  const idByKey = new Map<string, string>()
  for (const [index, row] of rows.entries()) {
    const kind = rowKind(row)
    if (kind === 's') stateRows += stateChangeIn(row).ids.length
    if (kind === 'a') {
      stateRows += 1
      const { id } = answeredIn(row)
      if (answered.has(id)) wrong.push(`${id} is answered twice`)
      answered.add(id)
    }
    // A retraction of a notification with a collapse key names no offset.
    if (kind === 'r' && retractedOffset(row) > 0 && rowKind(rows[retractedOffset(row) - 1] as Buffer) !== 'x')
      wrong.push(`${index + 1} retracts what is still there`)
    if (kind === 'r' && retractionIn(row).reason === 'expired' && answered.has(retractionIn(row).id))
      wrong.push(`${retractionIn(row).id} expired after its answer`)
    if (kind !== 'n' && kind !== 'x') continue
    const id = rowId(row)
    if (places.has(id)) wrong.push(`${id} is there twice`)
    places.set(id, index + 1)
    if (kind === 'n' && !states.has(id)) counted += 1
    if (kind === 'n') wrong.push(...faultsOf(ledger, row, answers.has(id), now, idByKey))
  }
  if (unread !== counted) wrong.push(`unread is ${unread}, counted ${counted}`)
  if (unseen !== counted) wrong.push(`unseen is ${unseen}, counted ${counted}, and none is seen`)
  if (states.size > stateRows) wrong.push('a state without its row')
  let waiting = 0
  let due = 0
  for (const [number, { offset }] of ledger.published) {
    const id = idOf(number)
    const place = places.get(id)
    if (offset !== undefined && place !== offset) wrong.push(`${id} was accepted at ${offset}, is at ${place}`)
    if (place !== undefined) continue
    const found = await store.find(user, id)
    if (found?.in === 'parked') waiting += 1
    else if (found?.in === 'scheduled') due += 1
    else if (!ledger.mayLeave(number, store.now())) wrong.push(`${id} is lost`)
  }
  if (waiting > parked) wrong.push(`${waiting} wait, parked says ${parked}`)
  if (due > scheduled) wrong.push(`${due} are scheduled, the count says ${scheduled}`)
  for (const [number, answer] of ledger.answers) {
    const kept = answers.get(idOf(number))
    const isThere = rowKind(rows[(places.get(idOf(number)) as number) - 1] as Buffer) === 'n'
    if (isThere && kept?.deviceId !== answer.deviceId) wrong.push(`${number} was answered by ${answer.deviceId}, has ${kept?.deviceId}`)
    if (!isThere && !ledger.retracted.has(number)) wrong.push(`${number} was answered, and is not there`)
  }
  for (const [number, state] of ledger.marked) {
    const place = places.get(idOf(number)) as number
    if (states.get(idOf(number)) !== state && rowKind(rows[place - 1] as Buffer) !== 'x') wrong.push(`${number} is not ${state}`)
  }
  for (const number of ledger.retracted) {
    if (rowKind(rows[(places.get(idOf(number)) as number) - 1] as Buffer) !== 'x') wrong.push(`${number} was recalled, is there`)
  }
  if ((devices[0]?.position.offset ?? 0) < ledger.acked)
    wrong.push(`acked ${ledger.acked}, the cursor is at ${devices[0]?.position.offset}`)
  t.same(wrong.slice(0, 5), [], `${user}, ${when}: ${rows.length} rows, ${parked} parked`)
  return rows.length
}

t.test('a process that is killed at random moments loses nothing that it had answered', { timeout: 120_000 }, async (t) => {
  const seed = Date.now() % 1_000_000
  let value = seed
  const random = (limit: number): number => {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((value / 2 ** 32) * limit)
  }
  const folder = await temporaryFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const ledgers = new Map(chaosUsers.map((user) => [user, new Ledger()]))
  const opened = async (clock = Date.now): Promise<EmbeddedStore> => {
    const store = new EmbeddedStore({ folder, settings: { ...chaosSettings, clock } })
    await store.open('parent', new Recorder())
    return store
  }
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await runUntilKilled(folder, 1 + cycle * PER_CYCLE, random(250), (answered) => ledgers.get(answered.user)?.note(answered))
    for (const { calls } of ledgers.values()) calls.noteKill()
    // The clock stands still, so that nothing expires between two reads.
    const now = Date.now()
    const store = await opened(() => now)
    for (const [user, ledger] of ledgers) await check(t, store, user, ledger, `seed ${seed}, kill ${cycle + 1}`)
    await store.close()
  }

  const store = await opened()
  await until(
    async () => {
      await store.sweep()
      const queues = await Promise.all(chaosUsers.map((user) => store.queue(user)))
      return queues.every(({ parked, scheduled }) => parked + scheduled === 0)
    },
    'every parked and scheduled notification is in the log',
    60_000
  )
  let answered = 0
  for (const [user, ledger] of ledgers) {
    await check(t, store, user, ledger, 'all released')
    const parked = [...ledger.published].filter(([, { offset }]) => offset === undefined)
    t.ok(parked.length > 0, `${parked.length} of ${ledger.published.size} had been parked`)
    const { head } = await store.queue(user)
    const repeated: unknown[] = []
    for (const [number] of parked) {
      const found = await store.find(user, idOf(number))
      const place = found?.in === 'log' ? found.item.offset : 0
      // The store forgets keys older than the window, and does not find recalled notifications.
      if (place === 0 || place <= head.offset - IDEMPOTENCY_WINDOW) continue
      const result = await store.publish({ user, id: idOf(number), keyed: true, tail: '', halfLife: 0 })
      if (result.status !== 'accepted' || !result.replayed || result.offset !== place) repeated.push({ number, place, result })
    }
    t.same(repeated, [], 'a released notification keeps its key')
    answered += ledger.published.size
    t.ok(ledger.marked.size > 0 && ledger.acked > 0 && ledger.answers.size > 0)
  }
  t.comment(`seed ${seed}: ${CYCLES} kills, ${answered} answered publishes`)
  await store.close()

  const later = await opened(() => Date.now() + 2 * LEASE_MS)
  for (const [user, { calls, published }] of ledgers) {
    const owed = [...published].filter(([, { options }]) => options.fallback !== undefined).map(([number]) => number)
    t.same((await calls.finish(later, user, owed)).slice(0, 5), [], `${user}: ${calls.count} calls for ${owed.length} fallbacks`)
    t.ok(calls.count > 0 && (calls.settled.get('unsent') ?? 0) > 0)
    t.same(await later.outbox.subscriptions(user), [subscriptionOf(user)])
  }
  await later.close()
})
