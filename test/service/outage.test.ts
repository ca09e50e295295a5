import { join } from 'node:path'
import t from 'tap'
import { Poster } from '../../bench/poster.ts'
import { newId } from '../../services/ids.ts'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import type { Store, StoreSettings } from '../../services/store/store.ts'
import { Follower } from '../fixtures/follower.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { SECRET, serviceToken, temporaryFolder } from '../helper.ts'

const PARKED = 20_000
const PER_SECOND = 500
const SECONDS = 5

const settings: StoreSettings = {
  rateLimit: 1,
  rateWindowMs: 1000,
  parkedMax: 1000,
  scheduledMax: 1000,
  retentionMs: 604_800_000,
  maxEntries: 1000,
  maxConnections: 100,
  revocationTtlMs: 86_400_000
}

/** Parks a notification for each user, as after a long outage of the nodes. */
async function park(store: Store): Promise<void> {
  await new Follower('before', store).open()
  const tail = '"type":"t","title":"x","timestamp":1}'
  const users = Array.from({ length: PARKED }, (_, index) => `parked-${index}`)
  for (let from = 0; from < users.length; from += 500) {
    const some = users.slice(from, from + 500)
    for (let round = 0; round < 2; round++) {
      await Promise.all(some.map((user) => store.publish({ user, id: newId(), keyed: false, tail, halfLife: 0 })))
    }
  }
  await store.close()
}

for (const kind of ['embedded', 'redis'] as const) {
  t.test(
    `${kind}: publishes are answered while the notifications of ${PARKED} users are released after an outage`,
    { timeout: 120_000 },
    async (t) => {
      const folder = temporaryFolder(t)
      const redis = kind === 'redis' ? await RedisServer.start() : undefined
      t.teardown(async () => redis?.stop())
      const environment = redis === undefined ? { DATA_DIR: folder } : { REDIS_URL: redis.url }
      await park(
        redis === undefined
          ? new EmbeddedStore({ folder: join(folder, 'store'), settings })
          : new RedisStore(settings, { url: redis.url, keyPrefix: 'belfry', waitReplicas: 0 })
      )
      const service = await ServerProcess.start({ ...environment, RATE_LIMIT_MAX: '1', JWT_SECRET: SECRET, LOG_LEVEL: 'silent' })
      t.teardown(() => service.kill())
      const released = async (): Promise<number> => {
        const metrics = await (await fetch(`${service.url}/metrics`)).text()
        return Number(/^belfry_released_total (\d+)/m.exec(metrics)?.[1])
      }
      const poster = new Poster(service.port, '/v1/notifications', `Authorization: Bearer ${serviceToken()}\r\n`, 32)
      t.teardown(() => poster.close())
      const statuses = new Map<number, number>()
      let slowestMs = 0
      const publish = (to: string): Promise<void> =>
        new Promise((resolve) => {
          const began = performance.now()
          poster.post(JSON.stringify({ to, type: 'a', title: 'A' }), (status) => {
            slowestMs = Math.max(slowestMs, performance.now() - began)
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
            resolve()
          })
        })
      const answers: Promise<void>[] = []
      const began = performance.now()
      while (answers.length < PER_SECOND * SECONDS) {
        const due = Math.min(PER_SECOND * SECONDS, Math.floor(((performance.now() - began) / 1000) * PER_SECOND))
        while (answers.length < due) answers.push(publish(`free-${answers.length}`))
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      await Promise.all(answers)
      t.same(statuses, new Map([[202, PER_SECOND * SECONDS]]))
      await until(async () => (await released()) > 1000, 'releases continue', 30_000)
      t.comment(`slowest publish ${slowestMs.toFixed()} ms, ${await released()} notifications released by then`)
    }
  )
}
