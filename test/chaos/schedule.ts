/** The store of the service. */
export type StoreKind = 'embedded' | 'redis' | 'cluster'

export const storeKinds: StoreKind[] = ['embedded', 'redis', 'cluster']

/** The bus between the nodes. The embedded store, which has one node, has none: `redis` stands for it. */
export type BusKind = 'redis' | 'nats'

export const busKinds: BusKind[] = ['redis', 'nats']

/**
 * The kinds of faults. `every`: mean time between two faults, milliseconds. `from` and `to`: shortest and longest duration, milliseconds; 0 for
 * a fault without a duration. `on`: the stores on which the fault happens by default. `bus`: the bus that the fault concerns; by default all.
 */
const kinds = {
  nodeKill: { every: 2200, from: 100, to: 1200, on: ['embedded', 'redis', 'cluster'] },
  nodeDrain: { every: 12_000, from: 100, to: 800, on: ['embedded', 'redis', 'cluster'] },
  nodePause: { every: 30_000, from: 300, to: 3000, on: ['embedded', 'redis', 'cluster'] },
  subscriberKill: { every: 2200, from: 0, to: 0, on: ['redis', 'cluster'], bus: 'redis' },
  subscriberSwallow: { every: 4000, from: 100, to: 700, on: ['redis'], bus: 'redis' },
  subscriberHole: { every: 12_000, from: 1000, to: 4000, on: ['redis'], bus: 'redis' },
  busKill: { every: 7000, from: 50, to: 3000, on: ['redis', 'cluster'], bus: 'nats' },
  busPause: { every: 20_000, from: 300, to: 4000, on: ['redis', 'cluster'], bus: 'nats' },
  busCut: { every: 3000, from: 0, to: 0, on: ['redis', 'cluster'], bus: 'nats' },
  busHole: { every: 8000, from: 300, to: 5000, on: ['redis', 'cluster'], bus: 'nats' },
  storeKill: { every: 10_500, from: 50, to: 1000, on: ['redis', 'cluster'] },
  storePause: { every: 45_000, from: 300, to: 4000, on: ['redis', 'cluster'] },
  linkHole: { every: 30_000, from: 500, to: 4000, on: ['redis'] },
  linkHoleOneWay: { every: 30_000, from: 500, to: 4000, on: ['redis'] },
  linkHold: { every: 25_000, from: 200, to: 4000, on: ['redis'] },
  linkCut: { every: 12_000, from: 0, to: 0, on: ['redis'] },
  storeReplyDrop: { every: 8000, from: 0, to: 0, on: ['redis'] },
  answerDrop: { every: 1500, from: 0, to: 0, on: ['embedded', 'redis', 'cluster'] },
  clientHole: { every: 5000, from: 0, to: 0, on: ['embedded', 'redis', 'cluster'] },
  clientHoleOneWay: { every: 5000, from: 0, to: 0, on: ['embedded', 'redis', 'cluster'] },
  clientCut: { every: 700, from: 0, to: 0, on: ['embedded', 'redis', 'cluster'] },
  /** Resets connections as soon as the upgrade was answered, or before. */
  clientFlash: { every: 6000, from: 0, to: 0, on: ['embedded', 'redis', 'cluster'] },
  /** Revokes all tokens of a user; the devices reconnect with new ones. */
  revoke: { every: 8000, from: 0, to: 0, on: ['embedded', 'redis', 'cluster'] },
  clientRestart: { every: 4000, from: 50, to: 3000, on: ['embedded', 'redis', 'cluster'] },
  clientForget: { every: 5000, from: 50, to: 1500, on: ['embedded', 'redis', 'cluster'] },
  slowReader: { every: 4000, from: 1000, to: 6000, on: ['embedded', 'redis', 'cluster'] },
  frozenReader: { every: 3000, from: 500, to: 9000, on: ['embedded', 'redis', 'cluster'] },
  scriptFlush: { every: 4000, from: 0, to: 0, on: ['redis', 'cluster'] },
  slotMove: { every: 6000, from: 0, to: 0, on: ['cluster'] },
  masterKill: { every: 8000, from: 100, to: 4000, on: ['cluster'] },
  failover: { every: 12_000, from: 0, to: 0, on: ['cluster'] },
  /** The receiver of pushes and webhooks is killed, answers nothing, or answers 500; a subscription ends, and pushes to it are answered with 410. */
  receiverKill: { every: 12_000, from: 100, to: 1500, on: ['embedded', 'redis', 'cluster'] },
  receiverHang: { every: 10_000, from: 300, to: 2000, on: ['embedded', 'redis', 'cluster'] },
  receiverFail: { every: 5000, from: 300, to: 2500, on: ['embedded', 'redis', 'cluster'] },
  pushEnd: { every: 6000, from: 0, to: 0, on: ['embedded', 'redis', 'cluster'] },
  /** Restarts the store without its last writes, as if a disk had lost its cache. Only on request, because accepted publishes are lost. */
  lostTail: { every: 9000, from: 50, to: 800, on: [] },
  /**
   * Makes the store lose the two newest rows of a user whose devices are disconnected. Another row takes the place of the first, and the
   * publisher of the second repeats it with its key. Only on request.
   */
  keyedFork: { every: 6000, from: 50, to: 400, on: [] },
  /** The store returns empty. Runs only on request. */
  storeWipe: { every: 9000, from: 50, to: 800, on: [] }
} as const satisfies Record<string, { every: number; from: number; to: number; on: StoreKind[]; bus?: BusKind }>

export type FaultKind = keyof typeof kinds

/** Faults after which an accepted notification may be missing, if the loss is reported. */
export const lossyKinds: FaultKind[] = ['lostTail', 'keyedFork', 'storeWipe']

export const faultKinds = Object.keys(kinds) as FaultKind[]

/** One fault. `at` and `ms` are in milliseconds; `pick`, from 0 to below 1, selects the node, device or slot. */
export interface Fault {
  at: number
  kind: FaultKind
  ms: number
  pick: number
}

interface ScheduleOptions {
  /** Default: `redis`. */
  bus?: BusKind
  /** Only these kinds, also on stores where they do not happen by default. */
  only?: FaultKind[] | undefined
  /** Factor on the number of faults. */
  intensity?: number
}

/** Time at the beginning without faults, milliseconds. */
const CALM_MS = 1500

/**
 * Returns the faults of a run, in order. The same arguments give the same faults. Each kind has its own random numbers, so that a run without
 * one kind has the others at the same times.
 */
export function schedule(seed: number, seconds: number, store: StoreKind, options: ScheduleOptions = {}): Fault[] {
  const { bus = 'redis', only, intensity = 1 } = options
  const happens = (kind: FaultKind): boolean => {
    const { on, bus: concerned = bus }: { on: readonly StoreKind[]; bus?: BusKind } = kinds[kind]
    return on.includes(store) && concerned === bus
  }
  const chosen = only ?? faultKinds.filter(happens)
  const faults: Fault[] = []
  for (const kind of chosen) {
    const { every, from, to } = kinds[kind]
    const random = dice(seed + hash(kind))
    const step = every / intensity
    for (let at = CALM_MS + random() * step; at < seconds * 1000; at += step * (0.5 + random())) {
      faults.push({ at: Math.round(at), kind, ms: Math.round(from + random() * (to - from)), pick: random() })
    }
  }
  return faults.sort((a, b) => a.at - b.at || (a.kind < b.kind ? -1 : 1))
}

/** Returns a generator of numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function hash(text: string): number {
  let value = 0x811c9dc5
  for (const character of text) value = Math.imul(value ^ character.charCodeAt(0), 0x01000193)
  return value >>> 0
}
