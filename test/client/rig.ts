import type { Test } from 'tap'
import { Client } from '../../packages/client/src/client.ts'
import type { Platform } from '../../packages/client/src/platform.ts'
import type { BelfryEvents, BelfryOptions, ConnectionState, EventName } from '../../packages/client/src/types.ts'
import { until } from '../fixtures/wait.ts'
import { FakeClock, FakeStorage, nodePlatform, tokenOf } from './fake-platform.ts'
import { FakeServer } from './fake-server.ts'

/** A client on a fake clock and a fake storage, with the server that it connects to. */
export interface Rig {
  server: FakeServer
  clock: FakeClock
  client: Client
  storage: FakeStorage
  /** Returns the contexts of an event, in order. */
  heard<E extends EventName>(event: E): BelfryEvents[E][]
}

const EVENTS: EventName[] = [
  'state',
  'notification',
  'toast',
  'retract',
  'answered',
  'digest',
  'marked',
  'unread',
  'gap',
  'caughtUp',
  'error',
  'retry',
  'terminal'
]

export async function rig(
  t: Test,
  options: Partial<BelfryOptions> = {},
  platform: Partial<Platform> = {},
  given?: FakeServer
): Promise<Rig> {
  const server = given ?? (await FakeServer.start(t))
  const clock = new FakeClock()
  const storage = new FakeStorage()
  const all = { getToken: () => tokenOf('alice'), deviceId: 'd1', storage, ...options }
  const client = new Client(server.url, all, nodePlatform(clock, { random: () => 0.5, ...platform }))
  t.teardown(() => client.disconnect())
  const contexts = new Map<EventName, unknown[]>()
  for (const event of EVENTS) {
    const list: unknown[] = []
    contexts.set(event, list)
    client.on(event, (ctx) => void list.push(ctx))
  }
  return { server, clock, client, storage, heard: <E extends EventName>(event: E) => contexts.get(event) as BelfryEvents[E][] }
}

export async function connected(
  t: Test,
  options: Partial<BelfryOptions> = {},
  platform: Partial<Platform> = {},
  given?: FakeServer
): Promise<Rig> {
  const rigged = await rig(t, options, platform, given)
  rigged.client.connect()
  await rigged.client.ready()
  await until(() => rigged.heard('caughtUp').length > 0, 'caughtUp')
  return rigged
}

export const titles = (rigged: Rig): string[] => rigged.heard('notification').map(({ notification }) => notification.title)
export const states = (rigged: Rig): ConnectionState[] => rigged.heard('state').map(({ state }) => state)
