import t, { type Test } from 'tap'
import { errors } from '../../../services/errors.ts'
import { newId } from '../../../services/ids.ts'
import { Counters } from '../../../services/node/counters.ts'
import type { CallFormat } from '../../../services/reach/call-format.ts'
import { Courier } from '../../../services/reach/courier.ts'
import { describeFailure, type Failure } from '../../../services/reach/failure-reports.ts'
import type { OutgoingRequest } from '../../../services/reach/http-sender.ts'
import { type Attempt, pushOutcome, webhookOutcome } from '../../../services/reach/outcome.ts'
import { tails } from '../../../services/store/row.ts'
import type { LeasedCall, Outbox, SettleCommand, Store, StoreSettings } from '../../../services/store/store.ts'
import { referenceSetup } from '../../conformance/reference-store.ts'
import { Recorder } from '../../conformance/stage.ts'
import { until } from '../../fixtures/wait.ts'

const SETTINGS: StoreSettings = {
  rateLimit: 0,
  rateWindowMs: 1000,
  parkedMax: 1000,
  scheduledMax: 1000,
  retentionMs: 604_800_000,
  maxEntries: 1000,
  maxConnections: 100,
  revocationTtlMs: 1,
  push: { afterMs: 0, unless: 'delivered' },
  webhookEvents: ['notification.fallback', 'notification.answered', 'notification.expired']
}

/** A call that the sender was given, and that the test answers. */
interface Sent {
  url: string
  answer: (attempt: Attempt) => void
}

/** A sender whose calls the test answers. */
class HeldSender {
  readonly sent: Sent[] = []
  isClosed = false
  /** Answers each call at once; undefined: the test does. */
  automatic: Attempt | undefined

  async send({ url }: OutgoingRequest): Promise<Attempt> {
    if (this.automatic !== undefined) {
      this.sent.push({ url, answer: () => undefined })
      return this.automatic
    }
    return await new Promise((answer) => this.sent.push({ url, answer }))
  }

  async close(): Promise<void> {
    this.isClosed = true
    for (const { answer } of this.sent) answer({ status: 'unreachable' })
  }

  /** Answers the first call that waits for a URL. */
  answer(url: string, attempt: Attempt): void {
    const index = this.sent.findIndex((sent) => sent.url === url)
    this.sent.splice(index, 1)[0]?.answer(attempt)
  }
}

/** The format of the tests: the URL of a request is the lane and the user. */
const format: CallFormat = {
  request: async ({ lane, user }) => ({ url: `${lane}/${user}`, headers: {}, body: '' }),
  outcome: (attempt, call) => {
    const times = { attempts: call.attempt, createdAt: call.madeAt, now: call.madeAt }
    return call.event === 'push' ? pushOutcome(attempt, times, 0, 0) : webhookOutcome(attempt, times, 0)
  }
}

interface Rig {
  courier: Courier
  sender: HeldSender
  counters: Counters
  stopped: string[]
  failures: Failure[]
  faults: unknown[]
  /** Times from when a call was due until it was leased, milliseconds. */
  waits: number[]
}

function carry(t: Test, outbox: Outbox, lanes: string[], now: () => number, formats = format): Rig {
  const sender = new HeldSender()
  const rig = {
    ...{ sender, counters: new Counters(), stopped: [] as string[] },
    ...{ failures: [] as Failure[], faults: [] as unknown[], waits: [] as number[] }
  }
  const courier = new Courier({
    outbox,
    now,
    sender,
    formats: new Map(lanes.map((lane) => [lane, formats])),
    counters: rig.counters,
    onLeased: (waitedMs) => rig.waits.push(waitedMs),
    onStopped: (lane) => rig.stopped.push(lane),
    onFailure: (failure) => rig.failures.push(failure),
    onFault: (error) => rig.faults.push(error)
  })
  t.teardown(() => courier.close(0))
  return { ...rig, courier }
}

/** The reference store on a clock that the test sets, and a user with a push subscription for each lane. */
async function open(t: Test, lanes: string[] = ['fcm']) {
  const clock = { now: 1_754_000_000_000 }
  const cluster = await referenceSetup(1).open({ ...SETTINGS, clock: () => clock.now }, {
    now: clock.now,
    advance: () => undefined
  } as unknown as Parameters<ReturnType<typeof referenceSetup>['open']>[1])
  const store = cluster.stores[0] as Store
  await store.open('node1', new Recorder())
  t.teardown(() => cluster.close())
  const subscribe = (user: string, lane: string) =>
    store.outbox.putSubscription(user, { deviceId: lane, endpoint: `https://${lane}/x`, p256dh: '', auth: '', expirationTime: 0, lane })
  /** Publishes to a user, whose devices get a push each, and resolves with the lanes of these calls. */
  const publish = async (user: string): Promise<string[]> => {
    for (const lane of lanes) await subscribe(user, lane)
    const tail = tails.notification({ type: 'a', title: 'x', timestamp: clock.now }, undefined)
    await store.publish({ user, id: newId(), keyed: false, tail, halfLife: 0 })
    return (await store.advance(user)).lanes
  }
  return { store, clock, publish, outbox: store.outbox, now: () => clock.now }
}

/** An outbox that has any number of calls in each lane, and records what is leased and settled. */
class EndlessOutbox {
  readonly settled: SettleCommand[] = []
  leased = 0
  failing = false
  /** Outcomes are recorded and never written. */
  isStuck = false

  async lease({ lane, limit }: { lane: string; limit: number }) {
    if (this.failing) throw new errors.StoreUnavailable()
    const calls = Array.from({ length: limit }, () => {
      this.leased += 1
      const common = { user: 'u', epoch: 'e', no: this.leased, lane, attempt: 1, dueAt: 0, madeAt: 0 }
      return { ...common, event: 'notification.answered', data: '{}' } as LeasedCall
    })
    return { calls, dropped: 0 }
  }

  async settle(command: SettleCommand): Promise<boolean> {
    if (this.failing) throw new errors.StoreUnavailable()
    this.settled.push(command)
    if (this.isStuck) return await new Promise(() => undefined)
    return true
  }
}

const asOutbox = (outbox: EndlessOutbox): Outbox => outbox as unknown as Outbox

t.test('a call is sent when a local step made it, and settled by its answer', async (t) => {
  const { outbox, publish, now } = await open(t)
  const { courier, sender, counters } = carry(t, outbox, ['fcm'], now)
  const before = performance.now()
  courier.wake(await publish('alice'))
  await until(() => sender.sent.length === 1)
  t.ok(performance.now() - before < 500, 'before the next sweep')
  t.equal(courier.inFlight, 1)
  sender.answer('fcm/alice', { status: 201 })
  await until(() => courier.inFlight === 0)
  t.same([...counters.calls], [['push delivered', 1]])
  t.same(await outbox.lease({ lane: 'fcm', limit: 9 }), { calls: [], dropped: 0 })
})

t.test('a sweep finds calls that no local step made', async (t) => {
  const { outbox, publish, now } = await open(t)
  const { sender } = carry(t, outbox, ['fcm'], now)
  await publish('alice')
  await until(() => sender.sent.length === 1, 'within the period of the sweep')
})

t.test('failures are scheduled again, refusals end the call, 410 ends the subscription', async (t) => {
  const { outbox, publish, clock, now } = await open(t)
  const { courier, sender, counters } = carry(t, outbox, ['fcm'], now)
  const answer = async (user: string, attempt: Attempt) => {
    await until(() => sender.sent.some(({ url }) => url === `fcm/${user}`))
    sender.answer(`fcm/${user}`, attempt)
    await until(() => courier.inFlight === 0)
  }
  for (const user of ['alice', 'bob', 'carol']) courier.wake(await publish(user))
  await until(() => sender.sent.length === 3)
  sender.answer('fcm/bob', { status: 403 })
  sender.answer('fcm/carol', { status: 410 })
  await answer('alice', { status: 503, retryAfter: '60' })
  clock.now += 59_999
  t.same((await outbox.lease({ lane: 'fcm', limit: 9 })).calls, [])
  clock.now += 1
  courier.wake(['fcm'])
  await answer('alice', { status: 'unreachable' })
  clock.now += 10_000
  courier.wake(['fcm'])
  await answer('alice', { status: 201 })
  t.same(Object.fromEntries(counters.calls), { 'push refused': 1, 'push gone': 1, 'push retry': 2, 'push delivered': 1 })
  t.same((await outbox.subscriptions('carol')).length, 0)
  t.same((await outbox.subscriptions('bob')).length, 1)
  clock.now += 1e9
  t.same((await outbox.lease({ lane: 'fcm', limit: 9 })).calls, [], 'nothing is left')
})

t.test('failures are reported once for each lane and status in ten minutes', async (t) => {
  const { outbox, publish, clock, now } = await open(t)
  const { courier, sender, failures } = carry(t, outbox, ['fcm'], now)
  const fail = async (user: string, attempt: Attempt): Promise<number> => {
    courier.wake(await publish(user))
    await until(() => sender.sent.some(({ url }) => url === `fcm/${user}`))
    sender.answer(`fcm/${user}`, attempt)
    await until(() => courier.inFlight === 0)
    return failures.length
  }
  t.equal(await fail('a', { status: 201 }), 0)
  t.equal(await fail('b', { status: 410 }), 0, 'a subscription that has ended is no failure')
  t.equal(await fail('c', { status: 403 }), 1)
  t.equal(await fail('d', { status: 403 }), 1)
  t.equal(await fail('e', { status: 'unreachable', reason: 'ECONNREFUSED' }), 2)
  t.match(failures, [
    { lane: 'fcm', kind: 'push', attempt: { status: 403 }, result: 'refused' },
    { lane: 'fcm', kind: 'push', attempt: { status: 'unreachable', reason: 'ECONNREFUSED' }, result: 'retry' }
  ])
  clock.now += 599_000
  courier.wake(['fcm'])
  await until(() => sender.sent.length === 1)
  sender.answer('fcm/e', { status: 201 })
  t.equal(await fail('f', { status: 403 }), 2)
  clock.now += 1000
  t.equal(await fail('g', { status: 403 }), 3)
})

t.test('a report says what failed, what follows and what to do', async (t) => {
  const report = (kind: Failure['kind'], status: Attempt['status'], result: Failure['result'] = 'retry'): string =>
    describeFailure({ lane: 'x', kind, attempt: { status } as Attempt, result })
  t.match(report('webhook', 'unreachable'), /did not answer: the webhook is sent again\. Check that it runs, and WEBHOOK_URL$/)
  t.match(report('webhook', 401), /answered 401: .* WEBHOOK_SECRET/)
  t.match(report('webhook', 308), /set WEBHOOK_URL to the final address/)
  t.match(report('webhook', 404), /Check the path in WEBHOOK_URL/)
  t.match(report('webhook', 500, 'exhausted'), /answered 500: the webhook is given up$/)
  t.match(report('push', 403, 'refused'), /answered 403: the push is given up\. Check VAPID_SUBJECT.*a browser subscribes again/)
  t.match(report('push', 429), /answered 429: the push is sent again$/)
  t.match(report('push', 'unreachable'), /did not answer/)
})

t.test('a receiver that hangs holds its own lane only, and a few leases', async (t) => {
  const { outbox, publish, now } = await open(t, ['hangs', 'works'])
  const { courier, sender } = carry(t, outbox, ['hangs', 'works'], now)
  for (let index = 0; index < 50; index++) courier.wake(await publish(`user${index}`))
  let delivered = 0
  await until(() => {
    for (const { url } of [...sender.sent]) {
      if (!url.startsWith('works')) continue
      sender.answer(url, { status: 201 })
      delivered += 1
    }
    return delivered === 50
  })
  t.equal(sender.sent.length, 4, 'the slots of the other lane')
  const { calls } = await outbox.lease({ lane: 'hangs', limit: 100 })
  t.equal(calls.length, 46, 'the rest waits in the store')
})

t.test('a call that was leased ahead and not sent goes back to the store, and the attempt does not count', async (t) => {
  const { outbox, publish, now } = await open(t)
  const { courier, sender } = carry(t, outbox, ['fcm'], now)
  courier.wake(await publish('first'))
  await until(() => sender.sent.length === 1)
  sender.answer('fcm/first', { status: 201 })
  await until(() => courier.inFlight === 0)
  for (let index = 0; index < 8; index++) courier.wake(await publish(`user${index}`))
  await until(() => courier.inFlight === 4)
  const ahead: LeasedCall[] = []
  await until(async () => ahead.push(...(await outbox.lease({ lane: 'fcm', limit: 100 })).calls) === 4, 'the receiver hangs')
  t.same(
    ahead.map(({ attempt }) => attempt),
    [1, 1, 1, 1]
  )
  t.equal(sender.sent.length, 4, 'no further call is leased until the receiver answers')
})

t.test('receivers that hang leave half of the slots to others, also if they are more than the node has slots for', async (t) => {
  const outbox = new EndlessOutbox()
  const hanging = Array.from({ length: 40 }, (_, index) => `hangs${index}`)
  const good = { outbox: new EndlessOutbox(), lane: 'good' }
  const both = {
    lease: (command: { lane: string; limit: number }) =>
      command.lane === good.lane ? Promise.resolve({ calls: [], dropped: 0 }) : outbox.lease(command),
    settle: (command: SettleCommand) => outbox.settle(command)
  }
  const { courier, sender } = carry(t, both as unknown as Outbox, [...hanging, good.lane], () => 0)
  await until(() => courier.inFlight === 64)
  const timedOut = new Set<string>()
  while (timedOut.size < hanging.length) {
    const { url } = sender.sent[0] as Sent
    timedOut.add(url)
    sender.answer(url, { status: 'unreachable' })
    await new Promise(setImmediate)
  }
  while (courier.inFlight > 32) {
    sender.answer((sender.sent[0] as Sent).url, { status: 'unreachable' })
    await new Promise(setImmediate)
  }
  both.lease = (command) => (command.lane === good.lane ? good.outbox : outbox).lease(command)
  for (let round = 0; round < 100; round++) {
    courier.wake()
    await until(() => sender.sent.some(({ url }) => url.startsWith(good.lane)))
    sender.answer('good/u', { status: 200 })
    t.ok(sender.sent.filter(({ url }) => url.startsWith('hangs')).length <= 32)
  }
  const attempts = outbox.settled.filter(({ outcome }) => outcome.status === 'retry').length
  const waiting = sender.sent.filter(({ url }) => url.startsWith('hangs')).length
  const unsent = outbox.settled.filter(({ outcome }) => outcome.status === 'unsent').length
  t.equal(outbox.leased, attempts + waiting + unsent, 'a lease is a call that was sent, or one that went back')
})

t.test('64 calls in flight at most, from all lanes in turn', async (t) => {
  const outbox = new EndlessOutbox()
  const lanes = Array.from({ length: 30 }, (_, index) => `lane${index}`)
  const { courier, sender } = carry(t, asOutbox(outbox), lanes, () => 0)
  await until(() => courier.inFlight === 64)
  t.ok(outbox.leased <= 30 * 8)
  const seen = new Set(sender.sent.map(({ url }) => url))
  for (let round = 0; round < 400; round++) {
    const { url } = sender.sent[0] as Sent
    seen.add(url)
    sender.answer(url, { status: 200 })
    await until(() => courier.inFlight === 64)
  }
  t.equal(seen.size, 30)
  t.ok(courier.oldestWaitingMs >= 0)
})

t.test('a call whose outcome is being written has no slot, and these calls are bounded, too', async (t) => {
  const outbox = new EndlessOutbox()
  outbox.isStuck = true
  const { courier, sender } = carry(t, asOutbox(outbox), ['lane'], () => 0)
  await until(() => courier.inFlight === 4)
  t.equal(outbox.leased, 4, 'a call for each slot')
  while (sender.sent.length > 0) {
    sender.answer('lane/u', { status: 200 })
    await new Promise(setImmediate)
  }
  t.equal(courier.inFlight, 0)
  t.ok(outbox.settled.length >= 64 && outbox.settled.length <= 64 + 8, `${outbox.settled.length}`)
  t.equal(outbox.leased, outbox.settled.length, 'no lease is held for nothing')
})

t.test('410 of a webhook stops its lane; its calls stay due', async (t) => {
  const outbox = new EndlessOutbox()
  const { courier, sender, stopped } = carry(t, asOutbox(outbox), ['webhook'], () => 7000)
  await until(() => sender.sent.length === 4)
  sender.answer('webhook/u', { status: 410 })
  for (let rest = 0; rest < 3; rest++) sender.answer('webhook/u', { status: 200 })
  await until(() => courier.inFlight === 0)
  const { leased } = outbox
  courier.wake()
  await until(() => stopped.length === 1)
  t.equal(courier.inFlight, 0)
  t.equal(outbox.leased, leased, 'nothing is leased any more')
  t.match(outbox.settled[0]?.outcome, { status: 'retry', at: 7000 })
})

t.test('a close waits for calls in flight, and gives back the others', async (t) => {
  const outbox = new EndlessOutbox()
  const { courier, sender } = carry(t, asOutbox(outbox), ['webhook'], () => 7000)
  await until(() => sender.sent.length === 4)
  sender.answer('webhook/u', { status: 200 })
  await until(() => outbox.settled.length === 1 && outbox.leased > 5 && sender.sent.length === 4)
  outbox.settled.length = 0
  const leased = outbox.leased - 1
  const closing = courier.close(10_000)
  await until(() => outbox.settled.length === leased - 4)
  t.ok(outbox.settled.length > 0)
  t.ok(outbox.settled.every(({ outcome }) => outcome.status === 'unsent'))
  for (let rest = 0; rest < 4; rest++) sender.answer('webhook/u', { status: 200 })
  await closing
  t.equal(outbox.settled.filter(({ outcome }) => outcome.status === 'done').length, 4)
  t.equal(outbox.leased - 1, leased)
  t.ok(sender.isClosed)
})

t.test('a close ends in the grace; what did not end is not settled, and due when its lease runs out', async (t) => {
  const { outbox, publish, clock, now } = await open(t)
  const { courier, sender } = carry(t, outbox, ['fcm'], now)
  courier.wake(await publish('alice'))
  await until(() => sender.sent.length === 1)
  const before = performance.now()
  await courier.close(50)
  t.ok(performance.now() - before < 2000)
  clock.now += 29_999
  t.equal((await outbox.lease({ lane: 'fcm', limit: 9 })).calls.length, 0)
  clock.now += 1
  t.match((await outbox.lease({ lane: 'fcm', limit: 9 })).calls, [{ user: 'alice', attempt: 2 }])
})

t.test('a store that fails is asked again, and outcomes are told again', async (t) => {
  const outbox = new EndlessOutbox()
  outbox.failing = true
  const { courier, sender, faults } = carry(t, asOutbox(outbox), ['webhook'], () => 0)
  outbox.failing = false
  await until(() => sender.sent.length === 4)
  outbox.failing = true
  sender.answer('webhook/u', { status: 200 })
  await until(() => courier.inFlight === 4 && outbox.settled.length === 0)
  outbox.failing = false
  await until(() => outbox.settled.length > 0)
  t.same(faults, [])
})

t.test('the wait of a call is observed when it is leased, and the age of the oldest one is known until nothing is due', async (t) => {
  const { outbox, publish, clock, now } = await open(t)
  const lanes = await publish('alice')
  clock.now += 7000
  const { courier, sender, waits } = carry(t, outbox, [], now)
  t.equal(courier.oldestWaitingMs, 0, 'a node without lanes knows of none')
  const busy = carry(t, outbox, lanes, now)
  await until(() => busy.sender.sent.length === 1)
  t.same(busy.waits, [7000])
  clock.now += 500
  t.equal(busy.courier.oldestWaitingMs, 7500)
  busy.sender.answer('fcm/alice', { status: 201 })
  await until(() => busy.courier.oldestWaitingMs === 0, 'the next sweep leases none')
  t.same([waits, sender.sent], [[], []])
})

t.test('a call is not started when so much of its lease is over that it could outlast it', async (t) => {
  const outbox = new EndlessOutbox()
  const { sender } = carry(t, asOutbox(outbox), ['webhook'], () => 0)
  await until(() => sender.sent.length === 4)
  sender.answer('webhook/u', { status: 200 })
  await until(() => outbox.leased > 5 && sender.sent.length === 4, 'calls that are leased ahead')
  const { now } = performance
  t.teardown(() => {
    performance.now = now
  })
  // As if the event loop had stood still.
  performance.now = () => now.call(performance) + 16_000
  outbox.settled.length = 0
  sender.answer('webhook/u', { status: 200 })
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
  t.ok(
    outbox.settled.some(({ outcome }) => outcome.status === 'unsent'),
    'another lease sends them'
  )
})

t.test('a call that cannot be made into a request is given up', async (t) => {
  const { outbox, publish, clock, now } = await open(t)
  const broken: CallFormat = {
    ...format,
    request: async () => {
      throw new TypeError('broken')
    }
  }
  const { courier, sender, faults, counters } = carry(t, outbox, ['fcm'], now, broken)
  courier.wake(await publish('alice'))
  await until(() => counters.calls.get('push dropped') === 1 && courier.inFlight === 0)
  t.match(faults, [{ message: 'broken' }])
  t.equal(sender.sent.length, 0)
  clock.now += 60_000
  t.same((await outbox.lease({ lane: 'fcm', limit: 9 })).calls, [])
})
