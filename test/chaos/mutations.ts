import type { Rule } from './checker.ts'
import { broadcastMutations } from './mutations-broadcasts.ts'
import { busMutations } from './mutations-bus.ts'
import { contractMutations } from './mutations-contract.ts'
import { deliveryMutations } from './mutations-delivery.ts'
import { embeddedMutations } from './mutations-embedded.ts'
import { optionMutations } from './mutations-options.ts'
import { reachMutations } from './mutations-reach.ts'
import { redisMutations } from './mutations-redis.ts'
import type { BusKind, FaultKind, StoreKind } from './schedule.ts'

/** A defect: edits of the sources, and the run that must catch it. */
export interface Mutation {
  name: string
  edits: Edit[]
  store: StoreKind
  /** Default: `redis`. */
  bus?: BusKind
  faults: FaultKind[]
  /** The rules that this defect breaks. A run that breaks only other rules does not count as caught. */
  rules: Rule[]
  seconds?: number
  intensity?: number
  users?: number
  rate?: number
  entries?: number
  nodes?: number
  /** Topics with broadcasts; default 0. */
  topics?: number
}

/** A replacement in one source file (TypeScript or Lua). */
export interface Edit {
  /** Path from the root of the repository. */
  file: string
  /** Code that is in the file exactly once. Matched by tokens, so that line breaks, semicolons, quotes and comments do not matter. */
  find: string
  /** The new code; `;` for a removed TypeScript statement, so that it does not make the next one conditional. */
  put: string
}

/** All defects. The place in this list, from 1, is the number that `--only` takes. */
export const mutations: Mutation[] = [
  ...redisMutations,
  ...deliveryMutations,
  ...embeddedMutations,
  ...contractMutations,
  ...optionMutations,
  ...busMutations,
  ...broadcastMutations,
  ...reachMutations
]
