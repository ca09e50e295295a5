import t from 'tap'
import { ID_LENGTH, KEY_LENGTH, keyedId, newEpoch, newId } from '../../services/ids.ts'
import {
  digestIn,
  encodeRow,
  NO_TAG,
  notificationIn,
  retractedOffset,
  retractionIn,
  rowId,
  rowId8,
  rowKind,
  rowTail,
  rowTime,
  stateChangeIn,
  tails,
  withIds
} from '../../services/store/row.ts'

const ID = 'abcdefghijklmnopqrst'

t.test('the header and the tail of a row are read as they were encoded', async (t) => {
  const row = encodeRow('n', 1_754_000_000_000, ID, '01234567', '"type":"é"}')
  t.equal(rowKind(row), 'n')
  t.equal(rowTime(row), 1_754_000_000_000)
  t.equal(rowId(row), ID)
  t.equal(rowId8(row), '01234567')
  t.equal(rowTail(row).toString(), '"type":"é"}')
})

t.test('the tail of a notification is read with the id of its row', async (t) => {
  const content = { type: 't', title: 'é "quoted"', timestamp: 7 }
  const rowOf = (tail: string): Buffer => encodeRow('n', 1, ID, NO_TAG, tail)
  t.same(notificationIn(rowOf(tails.notification(content, undefined))), { id: ID, ...content })
  t.same(notificationIn(rowOf(tails.notification({ ...content, ref: '/r' }, '{"a":1}'))), { id: ID, ...content, ref: '/r', data: { a: 1 } })
})

t.test('a retraction has the offset of the retracted row before its tail', async (t) => {
  const row = encodeRow('r', 1, ID, NO_TAG, tails.retract(41, 'tsrqponmlkjihgfedcba', 'a "reason"', { unread: 3, unseen: 1 }, ''))
  t.equal(retractedOffset(row), 41)
  t.same(retractionIn(row), { id: 'tsrqponmlkjihgfedcba', reason: 'a "reason"', unread: 3, unseen: 1 })
})

t.test('the tails of a change of state and of a digest are read as they were encoded', async (t) => {
  const change = encodeRow('s', 1, ID, '01234567', tails.state(['a', 'b'], 'read', { unread: 2, unseen: 1 }))
  t.same(stateChangeIn(change), { ids: ['a', 'b'], state: 'read', unread: 2, unseen: 1 })
  t.same(withIds(change, ['b']), encodeRow('s', 1, ID, '01234567', tails.state(['b'], 'read', { unread: 2, unseen: 1 })))
  t.same(digestIn(encodeRow('d', 1, ID, NO_TAG, tails.digest(['a'], { unread: 0, unseen: 0 }))), {
    count: 1,
    ids: ['a'],
    unread: 0,
    unseen: 0
  })
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
