import t from 'tap'
import { ID_LENGTH, KEY_LENGTH, keyedId, newEpoch, newId } from '../../services/ids.ts'
import { encodeRow, NO_TAG, retractedOffset, rowId, rowId8, rowKind, rowTail, rowTime, tails } from '../../services/store/row.ts'

t.test('a row gives back what it was made of', async (t) => {
  const row = encodeRow('n', 1_754_000_000_000, 'abcdefghijklmnopqrst', '01234567', '"type":"é"}')
  t.equal(rowKind(row), 'n')
  t.equal(rowTime(row), 1_754_000_000_000)
  t.equal(rowId(row), 'abcdefghijklmnopqrst')
  t.equal(rowId8(row), '01234567')
  t.equal(rowTail(row).toString(), '"type":"é"}')
})

t.test('a retraction carries the offset it retracts beside its frame', async (t) => {
  const row = encodeRow('r', 1, 'abcdefghijklmnopqrst', NO_TAG, tails.retract(41, 'tsrqponmlkjihgfedcba', 'a "reason"', 3))
  t.equal(retractedOffset(row), 41)
  t.same(JSON.parse(`{${rowTail(row)}`), { id: 'tsrqponmlkjihgfedcba', reason: 'a "reason"', unread: 3 })
})

t.test('state and digest tails are frames without their head', async (t) => {
  t.same(JSON.parse(`{${tails.state(['a', 'b'], 'read', 2)}`), { ids: ['a', 'b'], state: 'read', unread: 2 })
  t.same(JSON.parse(`{${tails.digest(['a'], 0)}`), { count: 1, ids: ['a'], unread: 0 })
})

t.test('ids', async (t) => {
  const ids = new Set(Array.from({ length: 1000 }, newId))
  t.equal(ids.size, 1000)
  for (const id of ids) if (!/^[\w-]{20}$/.test(id)) t.fail(id)
  t.match(newEpoch(), /^[0-9a-z]{6}$/)
  const id = keyedId('billing', 'invoice-7', '{}')
  t.equal(id.length, ID_LENGTH)
  t.equal(keyedId('billing', 'invoice-7', '{}'), id)
  const other = keyedId('billing', 'invoice-7', '{"a":1}')
  t.equal(other.slice(0, KEY_LENGTH), id.slice(0, KEY_LENGTH))
  t.not(other, id)
  t.not(keyedId('shop', 'invoice-7', '{}').slice(0, KEY_LENGTH), id.slice(0, KEY_LENGTH))
})
