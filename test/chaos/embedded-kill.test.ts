import { fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import t from 'tap'
import type { State } from '../../services/protocol/index.ts'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { IDEMPOTENCY_WINDOW } from '../../services/store/limits.ts'
import { retractedOffset, rowId, rowKind, stateChangeIn } from '../../services/store/row.ts'
import { temporaryFolder } from '../conformance/embedded-setup.ts'
import { idOf, Recorder } from '../conformance/stage.ts'
import { until } from '../fixtures/wait.ts'
import { type Answered, chaosSettings, chaosUsers } from './embedded-child.ts'

const CYCLES = 22
const PER_CYCLE = 100_000

/** The answers that the killed processes got about one user. */
class Ledger {
  readonly published = new Map<number, number | undefined>()
  readonly marked = new Map<number, State>()
  readonly retracted = new Set<number>()
  acked = 0

  note(answered: Answered): void {
    if (answered.op === 'publish') this.published.set(answered.number, answered.offset)
    else if (answered.op === 'ack') this.acked = Math.max(this.acked, answered.offset)
    else if (answered.op === 'mark') for (const number of answered.numbers) this.marked.set(number, answered.state)
    else this.retracted.add(answered.number)
  }
}

async function killedAtRandom(folder: string, cycle: number, delay: number, ledgers: Map<string, Ledger>): Promise<void> {
  const file = fileURLToPath(new URL('./embedded-child.js', import.meta.url))
  const child = fork(file, [folder, String(1 + cycle * PER_CYCLE)], { execArgv: [] })
  child.on('message', (answered: Answered) => ledgers.get(answered.user)?.note(answered))
  const [first] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => [undefined])])
  if (first === undefined) throw new Error('the child ended by itself')
  await pause(delay)
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

/** Checks one user's log against the answers. Returns its number of rows. */
async function check(t: Test, store: EmbeddedStore, user: string, ledger: Ledger, when: string): Promise<number> {
  const { head, first, parked, unread, devices } = await store.queue(user)
  const position = { epoch: head.epoch, offset: 0, id8: '' }
  const { rows, states } = await store.read({ user, position, seen: undefined, limit: 1e9 })
  const wrong: string[] = []
  if (first.offset !== 1 || rows.length !== head.offset) wrong.push(`${rows.length} rows, head ${head.offset}`)
  const places = new Map<string, number>()
  let counted = 0
  let stateRows = 0
  for (const [index, row] of rows.entries()) {
    const kind = rowKind(row)
    if (kind === 's') stateRows += stateChangeIn(row).ids.length
    if (kind === 'r' && rowKind(rows[retractedOffset(row) - 1] as Buffer) !== 'x') wrong.push(`${index + 1} retracts what is still there`)
    if (kind !== 'n' && kind !== 'x') continue
    const id = rowId(row)
    if (places.has(id)) wrong.push(`${id} is there twice`)
    places.set(id, index + 1)
    if (kind === 'n' && !states.has(id)) counted += 1
  }
  if (unread !== counted) wrong.push(`unread is ${unread}, counted ${counted}`)
  if (states.size > stateRows) wrong.push('a state without its row')
  let waiting = 0
  for (const [number, offset] of ledger.published) {
    const id = idOf(number)
    const place = places.get(id)
    if (offset !== undefined && place !== offset) wrong.push(`${id} was accepted at ${offset}, is at ${place}`)
    if (place !== undefined) continue
    const found = await store.find(user, id)
    if (found?.in === 'parked') waiting += 1
    else wrong.push(`${id} is lost`)
  }
  if (waiting > parked) wrong.push(`${waiting} wait, parked says ${parked}`)
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
  const opened = async (): Promise<EmbeddedStore> => {
    const store = new EmbeddedStore({ folder, settings: chaosSettings })
    await store.open('parent', new Recorder())
    return store
  }
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await killedAtRandom(folder, cycle, random(250), ledgers)
    const store = await opened()
    for (const [user, ledger] of ledgers) await check(t, store, user, ledger, `seed ${seed}, kill ${cycle + 1}`)
    await store.close()
  }

  const store = await opened()
  await until(
    async () => {
      await store.sweep()
      const queues = await Promise.all(chaosUsers.map((user) => store.queue(user)))
      return queues.every(({ parked }) => parked === 0)
    },
    'every parked notification is released',
    60_000
  )
  let answered = 0
  for (const [user, ledger] of ledgers) {
    await check(t, store, user, ledger, 'all released')
    const parked = [...ledger.published].filter(([, offset]) => offset === undefined)
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
    t.ok(ledger.marked.size > 0 && ledger.acked > 0)
  }
  t.comment(`seed ${seed}: ${CYCLES} kills, ${answered} answered publishes`)
  await store.close()
})
