import t from 'tap'
import { LocalUser } from '../../services/connection/local-user.ts'
import { newId } from '../../services/ids.ts'
import { encodeRow, NO_TAG, tagAfter } from '../../services/store/row.ts'

/** Records what a user's connection is told. */
class Recorder {
  readonly connectionId = newId()
  readonly deviceId = 'phone'
  readonly node = 'one'
  readonly connectedAt = 1
  readonly address = '192.0.2.1'
  readonly calls: string[] = []

  wake({ offset }: { offset: number }): void {
    this.calls.push(`wake ${offset}`)
  }

  doubt(): void {
    this.calls.push('doubt')
  }

  reattach(): void {}
  resume(): void {}
  beat(): void {}
  close(): void {}
  displace(): void {}
}

/** A row after the one with the tag `previous`, and its tag. */
function rowAfter(previous: string): { row: Buffer; id8: string } {
  const id = newId()
  const id8 = tagAfter(previous, 1_754_000_000_000, id)
  return { row: encodeRow('n', 1_754_000_000_000, id, id8, '"type":"t","title":"x","timestamp":1}'), id8 }
}

function twoConnections(): { local: LocalUser; one: Recorder; two: Recorder } {
  const local = new LocalUser('alice', 3_600_000)
  const [one, two] = [new Recorder(), new Recorder()]
  local.add(one)
  local.add(two)
  return { local, one, two }
}

t.test('a row that follows from the newest one is passed on, also the first of a log', async (t) => {
  const { local, one } = twoConnections()
  local.observe({ epoch: 'e', offset: 0, id8: '' })
  const first = rowAfter('e')
  local.wake({ epoch: 'e', offset: 1, id8: first.id8 }, first.row)
  const second = rowAfter(first.id8)
  local.wake({ epoch: 'e', offset: 2, id8: second.id8 }, second.row)
  t.same(one.calls, ['wake 1', 'wake 2'])
  t.same(local.newest(), { epoch: 'e', offset: 2, id8: second.id8 })
})

t.test('a row that follows from another row than the newest one: the connections read the log', async (t) => {
  const { local, one, two } = twoConnections()
  local.observe({ epoch: 'e', offset: 7, id8: 'aaaaaaaa' })
  const { row, id8 } = rowAfter('bbbbbbbb')
  local.wake({ epoch: 'e', offset: 8, id8 }, row)
  t.same([one.calls, two.calls], [['doubt'], ['doubt']])
})

t.test('a wake-up brings another row at the offset of a row that was read: the connections read the log', async (t) => {
  const { local, one } = twoConnections()
  local.observe({ epoch: 'e', offset: 7, id8: 'aaaaaaaa' })
  const { row, id8 } = rowAfter('bbbbbbbb')
  local.wake({ epoch: 'e', offset: 7, id8 }, row)
  t.same(one.calls, ['doubt'])
  local.wake({ epoch: 'e', offset: 7, id8 }, row)
  t.same(one.calls, ['doubt', 'wake 7'], 'the same row again is not another one')
})

t.test('an answer to one connection shows another history: the other connections read the log', async (t) => {
  for (const newest of [
    { epoch: 'e', offset: 7, id8: 'bbbbbbbb' },
    { epoch: 'f', offset: 9, id8: 'cccccccc' }
  ]) {
    const { local, one, two } = twoConnections()
    local.observe({ epoch: 'e', offset: 7, id8: 'aaaaaaaa' }, one)
    local.observe({ epoch: 'e', offset: 7, id8: 'aaaaaaaa' }, two)
    t.same([one.calls, two.calls], [[], []])
    local.observe(newest, one)
    t.same([one.calls, two.calls], [[], ['doubt']])
    t.same(local.newest(), newest)
  }
})

t.test('a row without its text: the tag is not known until the log was read', async (t) => {
  const { local, one } = twoConnections()
  t.equal(local.newest(), undefined)
  local.observe({ epoch: 'e', offset: 7, id8: 'aaaaaaaa' })
  local.wake({ epoch: 'e', offset: 8, id8: '' }, undefined)
  t.equal(local.newest(), undefined)
  local.observe({ epoch: 'e', offset: 8, id8: 'bbbbbbbb' })
  t.same(one.calls, ['wake 8'])
  t.equal(local.newest()?.id8, 'bbbbbbbb')
  t.not(NO_TAG, local.newest()?.id8)
})
