import t from 'tap'
import type { Notification } from '../../../services/protocol/index.ts'
import { PushEndpoints } from '../../../services/reach/push-endpoint.ts'
import { PushFormat } from '../../../services/reach/push-format.ts'
import { makeVapidKeys } from '../../../services/reach/vapid.ts'
import { encodeRow, NO_TAG, tails } from '../../../services/store/row.ts'
import type { LeasedPush } from '../../../services/store/store.ts'
import { PushService } from '../../fixtures/push-service.ts'

const NOW = 1_754_000_000_000
const ID = 'qk3mTnHc0Vd5Yx1LbR2w'

const { json } = await PushService.start(t).then((push) => push.subscribe())
const clock = { now: NOW }
const format = (...origins: string[]): PushFormat =>
  new PushFormat({
    store: { now: () => clock.now, secret: async () => Buffer.from('a secret') },
    identity: { ...makeVapidKeys(), subject: 'mailto:ops@example.com' },
    endpoints: new PushEndpoints(origins),
    retentionMs: 3_600_000
  })

/** Returns a push that is leased for the first time, of a notification that was appended now. */
function leased(more: Partial<Notification> = {}): LeasedPush {
  const tail = tails.notification({ type: 'a', title: 'x', timestamp: NOW, ...more }, undefined)
  const item = { epoch: 'k3f9q2', offset: 1, row: encodeRow('n', NOW, ID, NO_TAG, tail), state: 'unread', answer: undefined }
  const subscription = { deviceId: 'phone', endpoint: json.endpoint, ...json.keys, expirationTime: 0, lane: 'x' }
  const times = { attempt: 1, dueAt: NOW, madeAt: NOW }
  return {
    user: 'alice',
    epoch: 'k3f9q2',
    no: 1,
    lane: 'x',
    event: 'push',
    item,
    subscription,
    unread: 1,
    unseen: 1,
    ...times
  } as LeasedPush
}

t.test('a push that failed is retried until its notification expires, or for a day', async (t) => {
  const { origin } = new URL(json.endpoint)
  const failed = (call: LeasedPush, at: number) => {
    clock.now = at
    return format(origin).outcome({ status: 503 }, call).result
  }
  const expiring = leased({ expiresAt: NOW + 60_000 })
  t.equal(failed(expiring, NOW + 50_000), 'retry')
  t.equal(failed(expiring, NOW + 56_000), 'exhausted', 'the next attempt would come after the expiry')
  t.equal(failed(leased(), NOW + 56_000), 'retry')
  t.equal(failed(leased(), NOW + 86_400_000), 'exhausted')
})

t.test('the push service keeps it for what is left of the ttl, else of the retention', async (t) => {
  const { origin } = new URL(json.endpoint)
  clock.now = NOW + 10_000
  t.equal((await format(origin).request(leased({ expiresAt: NOW + 60_000 })))?.headers.ttl, '50')
  t.equal((await format(origin).request(leased()))?.headers.ttl, '3590')
})

t.test('nothing is sent to an origin that PUSH_ENDPOINTS names no more', async (t) => {
  t.equal(await format().request(leased()), undefined)
})
