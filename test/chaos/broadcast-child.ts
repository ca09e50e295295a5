import { setTimeout as pause } from 'node:timers/promises'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import type { Batch, LeaseBatchResult, Store, StoreSettings } from '../../services/store/store.ts'
import { Recorder } from '../conformance/stage.ts'

/** Speed of the clock of the stores: a lease of 30 s ends after 1.5 s. */
const SPEED = 20

/** Publishes of a batch that are in progress at once. */
const AT_ONCE = 50

/**
 * Opens a store whose clock is fast.
 *
 * @param place the data folder, or the address of Redis
 * @param startedAt the time at which the clocks of all stores had the system's time, Unix milliseconds
 */
export async function openFast(place: string, startedAt: number): Promise<Store> {
  const settings: StoreSettings = {
    rateLimit: 0,
    rateWindowMs: 1000,
    parkedMax: 10,
    scheduledMax: 10,
    retentionMs: 86_400_000,
    maxEntries: 1000,
    maxConnections: 0,
    revocationTtlMs: 86_400_000,
    clock: () => startedAt + (Date.now() - startedAt) * SPEED
  }
  const isRedis = place.startsWith('redis:')
  const store = isRedis
    ? new RedisStore(settings, { url: place, keyPrefix: 'belfry', waitReplicas: 0 })
    : new EmbeddedStore({ folder: place, settings })
  await store.open(`node ${process.pid}`, new Recorder())
  return store
}

/** Carries out a batch, as a node does. */
async function carryOut(store: Store, { users, isRecall, publish }: Batch): Promise<void> {
  for (let at = 0; at < users.length; at += AT_ONCE) {
    await Promise.all(
      users.slice(at, at + AT_ONCE).map(async (user) => {
        if (isRecall) await store.retract(user, publish.id, 'recalled', publish.broadcastAt)
        else await store.publish({ user, keyed: true, ...publish })
      })
    )
  }
}

/** Carries out a batch, and settles it. */
async function settled(store: Store, batch: Batch): Promise<LeaseBatchResult> {
  await carryOut(store, batch)
  const { broadcastId, from, isRecall, size } = batch
  const accepted = isRecall ? 0 : size
  return await store.audiences.settle({ broadcastId, from, isRecall, size, accepted, parked: 0, rejected: 0 })
}

/** Carries out the broadcasts that wait. Resolves when none waits. */
export async function carryOutWaiting(store: Store): Promise<void> {
  const { audiences } = store
  for (const id of await audiences.waiting()) {
    let result = await audiences.lease(id)
    while (result.status === 'batch' || result.status === 'collecting') {
      result = result.status === 'batch' ? await settled(store, result.batch) : await audiences.lease(id)
    }
  }
}

const [, , place = '', startedAt] = process.argv
if (startedAt !== undefined) {
  const store = await openFast(place, Number(startedAt))
  process.send?.('open')
  for (;;) {
    await carryOutWaiting(store)
    await pause(50)
  }
}
