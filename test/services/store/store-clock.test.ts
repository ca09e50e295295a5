import t from 'tap'
import { StoreClock } from '../../../services/store/store-clock.ts'

const START = 1_754_000_000_000
const HOUR = 3_600_000

function clocks(): { clock: StoreClock; pass(ms: number): void; look(wall: number, toleranceMs?: number): number } {
  let elapsed = 5
  const clock = new StoreClock(() => elapsed)
  return {
    clock,
    pass: (ms) => {
      elapsed += ms
    },
    look: (wall, toleranceMs) => clock.observe(wall, toleranceMs)
  }
}

t.test('time that passes is age', async (t) => {
  const { clock, pass, look } = clocks()
  t.same([clock.now(), clock.agedTo()], [undefined, undefined])
  look(START)
  pass(1000)
  t.same([clock.now(), clock.agedTo()], [START + 1000, START + 1000])
  pass(HOUR)
  t.equal(look(START + 1000 + HOUR), 0)
  t.equal(clock.agedTo(), START + 1000 + HOUR)
  pass(1000)
  t.equal(look(START + 2000 + HOUR + 60_000), 0, 'a step of up to a minute counts as drift')
  t.equal(clock.agedTo(), START + 2000 + HOUR + 60_000)
})

t.test('a step forward is not age, until a step back undoes it', async (t) => {
  const { clock, pass, look } = clocks()
  look(START)
  pass(1000)
  t.equal(look(START + 1000 + HOUR), HOUR)
  t.same([clock.now(), clock.agedTo()], [START + 1000 + HOUR, START + 1000])
  pass(5000)
  t.equal(clock.agedTo(), START + 6000)
  t.equal(look(START + 6000), -HOUR)
  t.same([clock.now(), clock.agedTo()], [START + 6000, START + 6000])
})

t.test('a step back alone makes no row older', async (t) => {
  const { clock, look } = clocks()
  look(START)
  t.equal(look(START - HOUR), -HOUR)
  t.equal(clock.agedTo(), START - HOUR)
})

t.test('small steps are returned if the tolerance is lower', async (t) => {
  const { look } = clocks()
  look(START)
  t.equal(look(START + 6000, 5000), 6000)
  t.equal(look(START + 10_000, 5000), 0)
})
