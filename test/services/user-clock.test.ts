import { mock } from 'node:test'
import t from 'tap'
import { UserClock } from '../../services/delivery/user-clock.ts'
import { errors } from '../../services/errors.ts'
import { Counters } from '../../services/node/counters.ts'
import type { Store } from '../../services/store/store.ts'
import { referenceSetup } from '../conformance/reference-store.ts'
import { baseSettings, Clock, idOf, Recorder, tailOf } from '../conformance/stage.ts'

const START = new Clock().now

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: START }))
t.afterEach(() => mock.timers.reset())

/** Lets time pass, with the continuations of resolved promises. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10) {
    mock.timers.tick(10)
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  }
}

for (const failing of ['advance', 'sweep'] as const) {
  for (const when of ['before it is carried out', 'after it was carried out'] as const) {
    t.test(`no check is lost if ${failing} fails ${when}`, async (t) => {
      const settings = { ...baseSettings, webhookEvents: ['notification.fallback' as const], clock: () => Date.now() }
      const cluster = await referenceSetup(1).open(settings, new Clock())
      const [store] = cluster.stores as [Store]
      await store.open('node', new Recorder())
      let failures = 0
      const call = store[failing].bind(store) as (...args: unknown[]) => Promise<unknown>
      const fail = async (...args: unknown[]): Promise<unknown> => {
        const isDue = Date.now() >= START + 1000
        if (!isDue || failures === 2) return await call(...args)
        failures += 1
        if (when === 'after it was carried out') await call(...args)
        throw new errors.StoreUnavailable()
      }
      Object.assign(store, { [failing]: fail })
      const clock = new UserClock(store, new Counters())
      const options = { fallback: { afterMs: 1000, unless: 'read' as const } }
      const result = await store.publish({ user: 'alice', id: idOf(1), keyed: false, tail: tailOf(1), halfLife: 0, options })
      // Without the timer of the node that took the publish, only sweeps carry the check out.
      if (failing === 'advance' && result.status === 'accepted') clock.schedule('alice', result.checkAt ?? 0)
      await pass(6000)
      t.ok(failures > 0)
      const { calls } = await store.outbox.lease({ lane: 'webhook', limit: 10 })
      t.equal(calls.length, 1)
      await clock.close()
      await cluster.close()
    })
  }
}

t.test('an error that is not one of the store is reported, and the sweep goes on', async (t) => {
  const faults: unknown[] = []
  const fault = new TypeError('a defect')
  const fail = async (): Promise<never> => {
    throw fault
  }
  const store = { advance: fail, sweep: fail, now: () => Date.now() } as unknown as Store
  const clock = new UserClock(store, new Counters(), undefined, (error) => faults.push(error))
  clock.schedule('alice', Date.now())
  await pass(2500)
  t.same(faults, [fault, fault, fault, fault])
  await clock.close()
})

t.test('a timer that is far off is brought forward when something nearer is scheduled, and not put off by something later', async (t) => {
  const advancedAt: number[] = []
  const counts = { released: 0, folded: 0, delivered: 0, expired: 0, checked: 0, called: 0, dropped: 0, lanes: [] }
  const advance = async (): Promise<object> => {
    advancedAt.push(Date.now() - START)
    return { ...counts, waiting: 0, nextAt: 0 }
  }
  const store = { advance, sweep: async () => ({ ...counts, due: [] }), now: () => Date.now() } as unknown as Store
  const clock = new UserClock(store, new Counters())
  clock.schedule('alice', START + 4000)
  clock.schedule('alice', START + 500)
  clock.schedule('alice', START + 3000)
  await pass(5000)
  t.equal(advancedAt.length, 1, 'one timer a user')
  t.ok((advancedAt[0] ?? 0) >= 500 && (advancedAt[0] ?? 0) < 600, `${advancedAt}`)
  await clock.close()
})
