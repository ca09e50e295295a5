import { formatEventId, type HelloFrame } from '../protocol/index.ts'
import type { Backlog } from '../store/store.ts'
import type { ConnectionContext } from './context.ts'

/** Fields of `hello` that differ between connections with the same backlog. */
type HelloSubject = Pick<HelloFrame, 'connectionId' | 'deviceId' | 'user' | 'tokenExpiresAt'>

/** Returns the first frame of a connection. `backlog` is that of its first attach. */
export function helloFrame(context: ConnectionContext, subject: HelloSubject, backlog: Backlog): HelloFrame {
  const { maxUnacked, maxFrameBytes, pingIntervalMs, timeouts, node } = context
  const { connectionId, deviceId, user, tokenExpiresAt } = subject
  return {
    type: 'hello',
    connectionId,
    deviceId,
    user,
    node,
    serverTime: Date.now(),
    heartbeat: { intervalMs: pingIntervalMs, timeoutMs: timeouts.pongMs },
    resume: {
      status: backlog.gap !== undefined ? 'gap' : backlog.resumed ? 'resumed' : 'fresh',
      from: formatEventId(backlog.start),
      to: formatEventId({ epoch: backlog.epoch, offset: backlog.top, id8: backlog.topId8 }),
      pending: backlog.top - backlog.start.offset,
      parked: backlog.parked
    },
    unread: backlog.unread,
    unseen: backlog.unseen,
    tokenExpiresAt,
    limits: { maxFrameBytes, maxUnacked }
  }
}
