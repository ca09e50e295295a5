import t from 'tap'
import { type BatchEntry, carryOutBatch } from '../../services/delivery/batch.ts'

const entry = (item: string, users: string[], isGradual = false): BatchEntry<string> => ({ item, users, isGradual })

/** Carries out items that end when the test calls `end`. */
class Calls {
  readonly begun: string[] = []
  readonly #ends = new Map<string, () => void>()

  readonly carryOut = async (item: string): Promise<string> => {
    this.begun.push(item)
    await new Promise<void>((resolve) => this.#ends.set(item, resolve))
    return item.toUpperCase()
  }

  async end(item: string): Promise<void> {
    this.#ends.get(item)?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

t.test('items run side by side, also gradual ones, and results keep the order of the items', async (t) => {
  const calls = new Calls()
  const results = carryOutBatch([entry('a', ['1', '2'], true), entry('b', ['3', '4'], true), entry('c', ['5'])], calls.carryOut)
  t.same(calls.begun, ['a', 'b', 'c'])
  for (const item of ['c', 'b', 'a']) await calls.end(item)
  t.same(await results, ['A', 'B', 'C'])
})

t.test('an item waits for an earlier gradual item of one of its users; later items of its users wait for it', async (t) => {
  const calls = new Calls()
  const entries = [entry('a', ['1', '2'], true), entry('b', ['2', '3']), entry('c', ['3']), entry('d', ['4']), entry('e', ['1'])]
  const results = carryOutBatch(entries, calls.carryOut)
  t.same(calls.begun, ['a', 'd'])
  await calls.end('a')
  t.same(calls.begun, ['a', 'd', 'b', 'e'])
  await calls.end('b')
  t.same(calls.begun, ['a', 'd', 'b', 'e', 'c'])
  for (const item of ['c', 'd', 'e']) await calls.end(item)
  t.same(await results, ['A', 'B', 'C', 'D', 'E'])
})

t.test('items of the same user that are not gradual do not wait for each other', async (t) => {
  const calls = new Calls()
  const results = carryOutBatch([entry('a', ['1']), entry('b', ['1', '2']), entry('c', ['2'])], calls.carryOut)
  t.same(calls.begun, ['a', 'b', 'c'])
  for (const item of calls.begun) await calls.end(item)
  t.same(await results, ['A', 'B', 'C'])
})
