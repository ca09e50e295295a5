import type { Test } from 'tap'
import type { PresenceTimes, WebhookEvent } from '../../services/store/store.ts'
import { type Stage, swept } from './stage.ts'
import type { Example } from './store.ts'

const webhookEvents: WebhookEvent[] = ['user.online', 'user.offline']
const presence: PresenceTimes = { graceMs: 15_000, checkMs: 40_000 }
const settings = { rateLimit: 0, webhookEvents, presence }

/** Attaches a connection of the user, and notes that they arrived. Resolves with whether a call was made. */
async function arrive(stage: Stage): Promise<boolean> {
  await stage.attach({ at: 'latest' })
  return await stage.store.outbox.notePresence(stage.user, 'arrived')
}

/** Notes that the user left, and removes their connections. */
async function leave(stage: Stage): Promise<boolean> {
  const made = await stage.store.outbox.notePresence(stage.user, 'left')
  await stage.store.detach(stage.user, [])
  return made
}

/** Advances the user after some time, and resolves with the events of the calls that are due. */
async function eventsAfter(stage: Stage, ms: number): Promise<string[]> {
  stage.clock.advance(ms)
  await stage.store.advance(stage.user)
  const { calls } = await stage.store.outbox.lease({ lane: 'webhook', limit: 100, user: stage.user })
  for (const { user, epoch, no, madeAt, attempt } of calls)
    await stage.store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome: { status: 'done' } })
  return calls.map((call) => ('data' in call ? `${call.event} ${call.data}` : call.event))
}

export const watching: Example[] = [
  {
    name: 'a user is online from their first connection, and offline when the grace after the last one is over',
    settings,
    run: async (t: Test, stage: Stage) => {
      const { clock } = stage
      t.equal(await arrive(stage), true)
      t.equal(await arrive(stage), false, 'only the first')
      t.same(await eventsAfter(stage, 0), [`user.online {"at":${clock.now}}`])
      t.equal(await leave(stage), false)
      t.same(await eventsAfter(stage, 14_999), [])
      t.same(await eventsAfter(stage, 1), [`user.offline {"at":${clock.now}}`])
      t.same(await eventsAfter(stage, 100_000), [])
      t.equal(await leave(stage), false, 'nobody leaves twice')
      t.same(await eventsAfter(stage, 100_000), [])
      t.equal(await arrive(stage), true)
    }
  },
  {
    name: 'a user who comes back in the grace never left, nor one who has a connection elsewhere',
    settings,
    run: async (t: Test, stage: Stage) => {
      await arrive(stage)
      t.equal((await eventsAfter(stage, 0)).length, 1)
      await leave(stage)
      t.same(await eventsAfter(stage, 10_000), [])
      t.equal(await arrive(stage), false)
      t.same(await eventsAfter(stage, 100_000), [])
      await stage.store.outbox.notePresence(stage.user, 'left')
      t.same(await eventsAfter(stage, 15_000), [], 'the registry has a connection')
      await stage.store.detach(stage.user, [])
      t.same(await eventsAfter(stage, 39_999), [])
      t.match([...(await eventsAfter(stage, 1)), ...(await eventsAfter(stage, 15_000))], [/^user.offline/])
    }
  },
  {
    name: 'the death of a node is noticed by the next check, which a restart and the trim of the log leave alone',
    settings: { ...settings, maxEntries: 10 },
    restarts: true,
    alone: true,
    run: async (t: Test, stage: Stage) => {
      await arrive(stage)
      t.equal((await eventsAfter(stage, 0)).length, 1)
      for (let number = 0; number < 30; number++) await stage.send(number)
      await stage.restart()
      t.same(await eventsAfter(stage, 39_999), [])
      // Any node sweeps a user who has been due for two seconds. An embedded store has registered connections since its start only.
      stage.clock.advance(4000)
      t.match(await stage.store.sweep(), { checked: 1 })
      stage.clock.advance(17_000)
      await stage.store.sweep()
      t.match(await eventsAfter(stage, 0), [/^user.offline/])
      t.same(await eventsAfter(stage, 100_000), [])
    }
  },
  {
    name: 'the sweeps renew the presence of an online user, who has a timer only for what else is due',
    settings,
    alone: true,
    run: async (t: Test, stage: Stage) => {
      const { clock, store, user } = stage
      const expiresAt = clock.now + 100_000
      await arrive(stage)
      t.match(await store.advance(user), { nextAt: 0 })
      clock.advance(42_000)
      t.same(await store.sweep(), swept({ checked: 1 }))
      t.same(await store.sweep(), swept({}), 'the next check is 40 s later')
      await stage.send(1, { options: { expiresAt } })
      clock.advance(42_000)
      t.same(await store.sweep(), swept({ checked: 1, due: [{ user, nextAt: expiresAt }] }))
      t.match(await store.advance(user), { nextAt: expiresAt })
      clock.advance(42_000)
      t.match(await store.sweep(), { checked: 1, expired: 1, due: [] }, 'the expiry and the check are due')
      await leave(stage)
      t.equal((await store.advance(user)).nextAt, clock.now + 15_000, 'the end of the grace has a timer')
    }
  },
  {
    name: 'without settings of presence nothing is watched',
    settings: { rateLimit: 0, webhookEvents },
    run: async (t: Test, stage: Stage) => {
      t.equal(await arrive(stage), false)
      t.match(await stage.store.advance(stage.user), { nextAt: 0 })
      t.equal(await leave(stage), false)
      t.same(await eventsAfter(stage, 100_000), [])
    }
  },
  {
    name: 'an erasure ends presence without a word',
    settings: { ...settings, webhookEvents: ['user.offline'] },
    run: async (t: Test, stage: Stage) => {
      t.equal(await arrive(stage), false, 'an event that nobody asked for')
      await stage.store.erase(stage.user)
      t.equal(await leave(stage), false)
      t.same(await eventsAfter(stage, 100_000), [])
      t.equal(await stage.store.outbox.notePresence(stage.user, 'arrived'), false)
      t.match(await stage.store.queue(stage.user), { head: { epoch: '' } }, 'an arrival that comes late begins no log')
      t.same(await eventsAfter(stage, 100_000), [])
      await arrive(stage)
      await leave(stage)
      t.match(await eventsAfter(stage, 15_000), [/^user.offline/])
    }
  }
]
