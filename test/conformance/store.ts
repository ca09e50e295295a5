import type { Test } from 'tap'
import type { Store, StoreSettings } from '../../services/store/store.ts'
import { until } from '../fixtures/wait.ts'
import { answering } from './answering.ts'
import { broadcasting } from './broadcasting.ts'
import { changing } from './changing.ts'
import { collapsing } from './collapsing.ts'
import { counting } from './counting.ts'
import { erasing } from './erasing.ts'
import { erasingMembers } from './erasing-members.ts'
import { expiring } from './expiring.ts'
import { identifying } from './identifying.ts'
import { keeping } from './keeping.ts'
import { listing } from './listing.ts'
import { publishing } from './publishing.ts'
import { reaching } from './reaching.ts'
import { reading } from './reading.ts'
import { registering } from './registering.ts'
import { releasing } from './releasing.ts'
import { scheduling } from './scheduling.ts'
import { settling } from './settling.ts'
import { baseSettings, Clock, type Cluster, Recorder, type Setup, Stage } from './stage.ts'
import { watching } from './watching.ts'

export type { Cluster, Setup } from './stage.ts'

/** A behaviour that every driver must have. Examples with equal settings share stores, each with a user of its own. */
export interface Example {
  name: string
  settings?: Partial<StoreSettings>
  /** Needs stores that no other example uses. */
  alone?: boolean
  /** Number of nodes; default 1. Skipped if the set-up has fewer. */
  nodes?: number
  /** Calls `stage.restart`. Skipped if the set-up cannot restart. */
  restarts?: boolean
  /** Takes more than a thousand steps. Skipped if the set-up is slow. */
  long?: boolean
  /** Depends on leases, which end when a store is reopened. Skipped if the set-up is slow, because it reopens the store before each step. */
  leases?: boolean
  run(t: Test, stage: Stage): Promise<void>
}

interface Opened {
  cluster: Cluster
  clock: Clock
  settings: StoreSettings
  stores: Store[]
  recorders: Recorder[]
}

export const examples: Example[] = [
  publishing,
  releasing,
  scheduling,
  expiring,
  collapsing,
  answering,
  reaching,
  settling,
  watching,
  reading,
  changing,
  counting,
  listing,
  registering,
  identifying,
  keeping,
  erasing,
  broadcasting,
  erasingMembers
].flat()

/** Runs the examples, all by default, on a driver. Between examples the clock goes forward a minute. */
export async function storeSuite(t: Test, setup: Setup, list: Example[] = examples): Promise<void> {
  await t.test(setup.name, async (t) => {
    const shared = new Map<string, Opened>()
    t.teardown(() => Promise.all([...shared.values()].map(({ cluster }) => cluster.close())))
    let count = 0
    for (const example of list) {
      if ((example.long || example.leases) && setup.slow) continue
      const settings = { ...baseSettings, ...example.settings }
      const key = JSON.stringify(settings)
      let opened = example.alone ? undefined : shared.get(key)
      if (opened === undefined) opened = await openCluster(setup, settings)
      if (!example.alone) shared.set(key, opened)
      const { clock, stores, recorders, cluster } = opened
      if (stores.length >= (example.nodes ?? 1) && !(example.restarts && cluster.restart === undefined)) {
        count += 1
        clock.advance(60_000)
        const stage = new Stage(clock, `user ${count} of {ü}`, opened.settings, stores, recorders)
        stage.restart = () => restart(stage, cluster)
        await t.test(example.name, (t) => example.run(t, stage))
      }
      if (example.alone) await cluster.close()
    }
  })
}

async function openCluster(setup: Setup, values: StoreSettings): Promise<Opened> {
  const clock = new Clock()
  const settings = { ...values, clock: () => clock.now }
  const cluster = await setup.open(settings, clock)
  return { cluster, clock, settings, stores: cluster.stores, recorders: await openAll(cluster.stores) }
}

async function openAll(stores: Store[]): Promise<Recorder[]> {
  const recorders = stores.map(() => new Recorder())
  await Promise.all(stores.map((store, node) => store.open(`node-${node}`, recorders[node] as Recorder)))
  // A node on a Cluster opens when it has heard of some masters.
  const isWhole = (store: Store): boolean => store.status().available && (store.status().away ?? []).length === 0
  await until(() => stores.every(isWhole), 'every part of the store is available')
  return recorders
}

async function restart(stage: Stage, cluster: Cluster): Promise<void> {
  stage.stores = (await cluster.restart?.()) ?? []
  stage.recorders = await openAll(stage.stores)
}
