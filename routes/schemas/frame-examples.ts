import type { ClientFrame, ServerFrame } from '../../services/protocol/index.ts'

type Frame = ServerFrame | ClientFrame

/** Examples of every frame, by type. */
type Examples = { [Name in Frame['type']]: Extract<Frame, { type: Name }>[] }

const ID = 'qk3mTnHc0Vd5Yx1LbR2w'
const EVENT = 'k3f9q2.41.a81c22e0'
const NOW = 1_754_000_000_000
const ANSWER = { action: 'approve', answeredAt: NOW, deviceId: 'phone' }
const QUESTION = {
  id: ID,
  type: 'expense',
  title: 'Bob asks for 40 €',
  timestamp: NOW,
  ref: '/expenses/9',
  actions: [
    { action: 'approve', title: 'Approve' },
    { action: 'reject', title: 'Reject', url: '/expenses/9/reject' }
  ]
}

export const frameExamples: Examples = {
  hello: [
    {
      type: 'hello',
      connectionId: 'Zm9vYmFyYmF6cXV4MTIz',
      deviceId: 'laptop-firefox',
      user: 'alice',
      node: 'x1Yz-k0Abc',
      serverTime: NOW,
      heartbeat: { intervalMs: 25_000, timeoutMs: 10_000 },
      resume: { status: 'resumed', from: 'k3f9q2.38.0b7d55aa', to: EVENT, pending: 3, parked: 0 },
      unread: 7,
      unseen: 2,
      tokenExpiresAt: NOW + 3_600_000,
      limits: { maxFrameBytes: 10_240, maxUnacked: 100 }
    }
  ],
  notification: [
    {
      type: 'notification',
      eventId: EVENT,
      notification: { id: ID, type: 'sync.done', title: 'Sync finished', timestamp: NOW, ref: '/syncs/77', data: { files: 12 } }
    },
    {
      type: 'notification',
      eventId: EVENT,
      notification: {
        id: ID,
        type: 'sync.progress',
        title: 'Synced 40 of 77',
        timestamp: NOW,
        expiresAt: NOW + 3_600_000,
        collapseKey: 'sync-77',
        replaces: 'Zm9vYmFyYmF6cXV4MTIz',
        urgency: 'low'
      }
    },
    { type: 'notification', eventId: EVENT, replay: true, state: 'read', answer: ANSWER, notification: QUESTION }
  ],
  state: [{ type: 'state', eventId: EVENT, ids: [ID], state: 'read', unread: 6, unseen: 2 }],
  retract: [
    { type: 'retract', eventId: EVENT, id: ID, reason: 'recalled', unread: 5, unseen: 1 },
    { type: 'retract', eventId: EVENT, id: ID, reason: 'expired', unread: 5, unseen: 1, collapseKey: 'sync-77' }
  ],
  answered: [{ type: 'answered', eventId: EVENT, id: ID, ...ANSWER, unread: 5, unseen: 1 }],
  digest: [{ type: 'digest', eventId: EVENT, count: 2, ids: [ID, 'Zm9vYmFyYmF6cXV4MTIz'], unread: 17, unseen: 2 }],
  caughtUp: [{ type: 'caughtUp', eventId: EVENT, unread: 7, unseen: 2 }],
  gap: [{ type: 'gap', reason: 'trimmed', from: 'k3f9q2.1', to: 'k3f9q2.30', count: 30 }],
  ping: [{ type: 'ping', time: NOW }],
  ok: [
    { type: 'ok', ref: 7, unread: 6, unseen: 2, durability: 'fsync' },
    { type: 'ok', ref: 8, ids: [ID], unread: 6, unseen: 2, durability: 'fsync' },
    { type: 'ok', ref: 9, id: ID, ...ANSWER, durability: 'fsync' }
  ],
  error: [
    {
      type: 'error',
      ref: 9,
      code: 'BELFRY_ERR_ALREADY_ANSWERED',
      message: 'The notification was answered before',
      temporary: false,
      answer: ANSWER
    }
  ],
  bye: [{ type: 'bye', code: 4200, reason: 'draining', reconnectInMs: 1730 }],
  ack: [{ type: 'ack', eventId: EVENT }],
  mark: [
    { type: 'mark', ref: 7, ids: [ID], state: 'read' },
    { type: 'mark', ref: 8, upTo: EVENT, state: 'archived', only: 'read' }
  ],
  answer: [{ type: 'answer', ref: 9, id: ID, action: 'approve' }],
  refresh: [{ type: 'refresh', ref: 8, token: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.signature' }],
  pong: [{ type: 'pong', time: NOW }]
}
