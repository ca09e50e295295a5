import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { formatEventId, parseEventId, type State } from '../../../services/protocol/index.ts'
import { MAX_FENCE } from '../../../services/store/limits.ts'
import { Machine } from '../../../services/store/machine.ts'
import { rowId, rowKind } from '../../../services/store/row.ts'
import { countsAsUnread, type Effect, emptyState, evolve, type UserState } from '../../../services/store/state.ts'
import { baseSettings, idOf, tailOf } from '../../conformance/stage.ts'

const settings = { ...baseSettings, maxEntries: 100 }

/** Returns a source of pseudo-random numbers from 0 to below `limit`. */
function sequence(seed: number): (limit: number) => number {
  let value = seed
  return (limit) => {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((value / 2 ** 32) * limit)
  }
}

function step(machine: Machine, state: UserState, number: number, pick: (limit: number) => number): void {
  const position = { epoch: state.epoch, offset: pick(state.top + 2), id8: '' }
  const id = idOf(pick(number + 1))
  switch (pick(12)) {
    case 0:
      machine.advance()
      return
    case 1:
      machine.ack(`device ${pick(30)}`, position)
      return
    case 2:
      machine.mark({
        target: pick(2) === 0 ? { ids: [id] } : { upTo: position },
        state: (['read', 'unread', 'seen', 'seen'] as const)[pick(4)] as State
      })
      return
    case 3:
      machine.retract(id, 'r')
      return
    case 4: {
      const seen = pick(40) === 0 ? { epoch: state.epoch, offset: state.top + (pick(2) === 0 ? 5 : MAX_FENCE + 1) } : undefined
      machine.attach({ deviceId: 'd', start: { at: 'device' }, seen, limit: 5 })
      return
    }
    case 5:
      machine.revoke()
      return
    default:
      machine.publish({ user: 'a', id: idOf(number), keyed: pick(3) > 0, tail: tailOf(number), halfLife: pick(3) === 0 ? 1 : 0 })
  }
}

t.test('replaying the effects over the state a step saw gives the state it left', async (t) => {
  const kinds = new Set<Effect['type']>()
  for (const seed of [1, 2, 3]) {
    const pick = sequence(seed)
    const state = emptyState()
    let now = 1_754_000_000_000
    for (let number = 0; number < 1500; number++) {
      const before = structuredClone({ ...state, rows: [], parked: [] })
      const replayed = { ...before, rows: [...state.rows], parked: [...state.parked] }
      now += pick(3) === 0 ? pick(6000) : 0
      const machine = new Machine(state, settings, {
        now,
        newEpoch: `epoch${seed}x${number}`,
        newId: idOf(number, 9),
        listening: pick(2) === 0
      })
      step(machine, state, number, pick)
      for (const effect of machine.effects) {
        kinds.add(effect.type)
        evolve(replayed, effect)
      }
      if (!isDeepStrictEqual(replayed, state)) t.same(replayed, state, `seed ${seed}, step ${number}`)
      const shown = state.rows.filter((row) => rowKind(row) === 'n' && countsAsUnread(state.states.get(rowId(row))))
      if (state.unread !== shown.length) t.equal(state.unread, shown.length, `unread, seed ${seed}, step ${number}`)
      const unseen = shown.filter((row) => !state.states.has(rowId(row))).length
      if (state.unread - state.seen !== unseen) t.equal(state.unread - state.seen, unseen, `unseen, seed ${seed}, step ${number}`)
      if (state.top - state.floor !== state.rows.length) t.fail(`offsets have a hole, seed ${seed}, step ${number}`)
    }
  }
  t.equal(kinds.size, 12, 'every kind of effect occurred')
})

t.test('the effects of a step name everything that it removes', async (t) => {
  const state = emptyState()
  const now = 1_754_000_000_000
  const play = (run: (machine: Machine) => unknown, at = now): Effect[] => {
    const machine = new Machine(state, { ...settings, rateLimit: 0 }, { now: at, newEpoch: 'epoch2', newId: idOf(99, 9), listening: false })
    run(machine)
    return machine.effects
  }
  const publish = (number: number) => (machine: Machine) =>
    machine.publish({ user: 'a', id: idOf(number), keyed: true, tail: tailOf(number), halfLife: 0 })
  t.same(
    play(publish(1)).map(({ type }) => type),
    ['reset', 'key', 'append']
  )
  play(publish(2))
  play((machine) => machine.mark({ target: { ids: [idOf(2)] }, state: 'read' }))
  const fence = { deviceId: 'd', start: { at: 'latest' as const }, seen: { epoch: 'epoch2', offset: 5000 }, limit: 1 }
  const keys = [idOf(1).slice(0, 12), idOf(2).slice(0, 12)]
  t.same(
    play((machine) => machine.attach(fence)),
    [
      { type: 'trim', floor: 3, ids: [idOf(2)], idsWithOptions: [], answeredIds: [] },
      { type: 'forget', keys },
      { type: 'reset', epoch: 'epoch2' },
      { type: 'cursor', deviceId: 'd', cursor: { position: { epoch: 'epoch2', offset: 0, id8: '' }, at: now } }
    ]
  )
})

t.test('the event id of a lost row can be resumed from', async (t) => {
  const state = emptyState()
  const context = { now: 1_754_000_000_000, newEpoch: 'epoch1', newId: idOf(99, 9), listening: false }
  const machine = (): Machine => new Machine(state, settings, context)
  machine().publish({ user: 'a', id: idOf(1), keyed: false, tail: tailOf(1), halfLife: 0 })
  machine().read({ position: { epoch: 'epoch1', offset: 1, id8: '' }, seen: { epoch: 'epoch1', offset: 3 }, limit: 5 })
  const { head } = machine().queue()
  t.same(parseEventId(formatEventId(head)), head)
  t.equal(machine().read({ position: head, seen: undefined, limit: 5 }).gap, undefined)
})
