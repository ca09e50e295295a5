import { readFileSync } from 'node:fs'

import type { Redis } from 'ioredis'
import { changesBound } from '../retention.ts'
import { COUNT_ID, LOST_ID, NO_TAG } from '../row.ts'

import {
  COALESCE_EVERY,
  FOLD_AFTER_HALF_LIVES,
  FORGET_EVERY,
  IDEMPOTENCY_WINDOW,
  INLINE_MAX,
  MAX_DEVICES,
  MAX_FENCE,
  META_TTL_MS,
  RELEASE_BATCH,
  type StoreSettings
} from '../store.ts'
import { list } from './replies.ts'

/**
 * How many keys each script takes. Those that take a whole log have `prelude.lua` in front; those that take many users the script for one (`each`),
 * as a function, and `prelude-many.lua`.
 */
export const scripts = {
  publish: { keys: 10, log: true },
  release: { keys: 10, log: true },
  attach: { keys: 11, log: true },
  ack: { keys: 10, log: true },
  mark: { keys: 10, log: true },
  retract: { keys: 10, log: true },
  inbox: { keys: 10, log: true },
  find: { keys: 10, log: true },
  queue: { keys: 10, log: true },
  disconnect: { keys: 11, log: true },
  'publish-many': { keys: 0, log: false, each: 'publish' },
  'ack-many': { keys: 0, log: false, each: 'ack' },
  detach: { keys: 2, log: false },
  renew: { keys: 1, log: false },
  counter: { keys: 1, log: false },
  counters: { keys: 1, log: false },
  due: { keys: 1, log: false },
  beat: { keys: 1, log: false },
  bury: { keys: 1, log: false },
  probe: { keys: 1, log: false },
  room: { keys: 1, log: false }
} as const satisfies Record<string, { keys: number; log: boolean; each?: string }>

export type ScriptName = keyof typeof scripts

/** What a script answers: text comes as bytes. */
export type Reply = number | Buffer | Reply[]

/** Commands that are gathered before they are called: to wait for others would hold them up. */
export const gathered: string[] = (Object.keys(scripts) as ScriptName[]).filter((name) => 'each' in scripts[name]).map(commandOf)

/** A registry that no node renews is gone after this, milliseconds. */
const REGISTRY_TTL_MS = 24 * 3600 * 1000

/** Of what is done by the clock: keys of one call, and calls under way at once where each key needs its own. */
const KEYS_TOGETHER = 64
export const CALLS_AT_ONCE = 16

type Command = (...args: (string | number)[]) => Promise<unknown>

/** The Lua text of every script, with the settings as its constants. */
export type ScriptTexts = ReadonlyMap<ScriptName, string>

export function scriptTexts(settings: StoreSettings): ScriptTexts {
  const constants = constantsOf(settings)
  const prelude = source('prelude')
  const names = Object.keys(scripts) as ScriptName[]
  return new Map(names.map((name) => [name, assemble(name, constants, prelude)]))
}

/** Defines the scripts as commands of a client, and calls them. */
export class Scripts {
  readonly #client: Redis
  readonly #oneSlotPerCall: boolean
  readonly #commands = new Map<ScriptName, Command>()

  /** @param oneSlotPerCall true in a Cluster, whose servers refuse a script with keys of several slots */
  constructor(client: Redis, texts: ScriptTexts, oneSlotPerCall: boolean) {
    this.#client = client
    this.#oneSlotPerCall = oneSlotPerCall
    for (const [name, lua] of texts) {
      const command = commandOf(name)
      client.defineCommand(command, { numberOfKeys: scripts[name].keys, lua })
      this.#commands.set(name, (client as unknown as Record<string, Command>)[`${command}Buffer`] as Command)
    }
  }

  /** One call: it runs whole, or not at all. Rejects as the client does. */
  run(name: ScriptName, keys: string[], args: (string | number)[]): Promise<Reply> {
    return (this.#commands.get(name) as Command).call(this.#client, ...keys, ...args) as Promise<Reply>
  }

  /** Calls a script over keys of many buckets of this server, a few at a time, so that publishes wait behind no more than a few. */
  async over(name: 'counters' | 'due', keys: readonly string[], args: (string | number)[]): Promise<Reply[]> {
    const [together, atOnce] = this.#oneSlotPerCall ? [1, CALLS_AT_ONCE] : [KEYS_TOGETHER, 1]
    const replies: Reply[] = []
    for (const calls of slices(slices(keys, together), atOnce)) {
      const answers = await Promise.all(calls.map(([first = '', ...further]) => this.run(name, [first], [...args, ...further])))
      replies.push(...answers.flatMap(list))
    }
    return replies
  }
}

export function slices<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size))
}

function commandOf(name: ScriptName): string {
  return `belfry${name}`
}

/** The text of a script file. */
export function source(name: string): string {
  return readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
}

function assemble(name: ScriptName, constants: string, prelude: string): string {
  const { flags, body } = parts(name)
  const { log, each = '' }: { log: boolean; each?: string } = scripts[name]
  // `each` has the settings once more, as its own: what it took from outside would be bound anew at every call.
  const one = each === '' ? '' : `local function each(KEYS, ARGV)\n${constants}${prelude}${parts(each).body}end\n${source('prelude-many')}`
  return `${flags}${constants}${log ? prelude : ''}${one}${body}`
}

/** A script's text, its first line apart when that has flags for the server. */
function parts(name: string): { flags: string; body: string } {
  const text = source(name)
  const flagsEnd = text.startsWith('#!') ? text.indexOf('\n') + 1 : 0
  return { flags: text.slice(0, flagsEnd), body: text.slice(flagsEnd) }
}

function constantsOf(settings: StoreSettings): string {
  const constants: Record<string, number | string> = {
    RATE_LIMIT: settings.rateLimit,
    RATE_WINDOW_MS: settings.rateWindowMs,
    PARKED_MAX: settings.parkedMax,
    RETENTION_MS: settings.retentionMs,
    MAX_ENTRIES: settings.maxEntries,
    CHANGES_BOUND: changesBound(settings.maxEntries),
    COALESCE_EVERY,
    MAX_CONNECTIONS: settings.maxConnections,
    META_TTL_MS,
    REVOCATION_TTL_MS: settings.revocationTtlMs,
    REGISTRY_TTL_MS,
    MAX_DEVICES,
    IDEMPOTENCY_WINDOW,
    FORGET_EVERY,
    FOLD_AFTER_HALF_LIVES,
    RELEASE_BATCH,
    MAX_FENCE,
    INLINE_MAX,
    LOST_ID: `'${LOST_ID}'`,
    COUNT_ID: `'${COUNT_ID}'`,
    NO_TAG: `'${NO_TAG}'`
  }
  return `local ${Object.keys(constants).join(', ')} = ${Object.values(constants).join(', ')}\n`
}
