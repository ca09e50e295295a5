import type { Test } from 'tap'
import type { LeasedCall, PushSubscription } from '../../services/store/store.ts'
import type { Stage } from './stage.ts'

export const LEASE_MS = 30_000

/** Returns a push subscription of a device. */
export function subscriptionOf(deviceId: string, lane = 'fcm'): PushSubscription {
  const endpoint = `https://push.test/${encodeURIComponent(deviceId)}`
  return { deviceId, endpoint, p256dh: 'BK3y', auth: 'c2Vj', expirationTime: 0, lane }
}

/** Subscribes a device of the user. */
export async function subscribe(t: Test, stage: Stage, deviceId = 'phone', lane = 'fcm'): Promise<PushSubscription> {
  const subscription = subscriptionOf(deviceId, lane)
  t.equal(await stage.store.outbox.putSubscription(stage.user, subscription), 'kept')
  return subscription
}

/** Leases calls of the user in a lane. */
export async function leased(stage: Stage, lane = 'fcm', limit = 100): Promise<LeasedCall[]> {
  return (await stage.store.outbox.lease({ lane, limit, user: stage.user })).calls
}

/** Advances the user after some time, and leases their calls in a lane. */
export async function calledAfter(stage: Stage, ms: number, lane = 'fcm'): Promise<LeasedCall[]> {
  stage.clock.advance(ms)
  await stage.other.advance(stage.user)
  return await leased(stage, lane)
}

/** Acknowledges the newest row of the log. */
export async function receive(stage: Stage, deviceId = 'phone'): Promise<void> {
  const { head } = await stage.store.queue(stage.user)
  await stage.store.ack(stage.user, deviceId, head)
}

/** Settles a call. */
export function settled(
  stage: Stage,
  call: LeasedCall,
  outcome: Parameters<Stage['store']['outbox']['settle']>[0]['outcome']
): Promise<boolean> {
  const { user, epoch, no, madeAt, attempt } = call
  return stage.store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome })
}
