import type { UserKey } from './keys.ts'

/** Keys of a user's log: every script that loads the log takes them first, and GUARD last. */
const LOG_KEYS = [
  'META',
  'LOG',
  'STATES',
  'KEYED',
  'PARKED',
  'CURSORS',
  'REGISTRY',
  'DUE',
  'COUNTERS',
  'BODIES',
  'OPTIONS',
  'SCHEDULED',
  'EXPIRIES',
  'TIMES'
] as const

/** Arguments that every script of a log takes before its own. */
const LOG_ARGS = ['user', 'clock', 'newEpoch'] as const

/**
 * One Lua script: its keys and arguments in the order of `KEYS` and `ARGV`. This is the one place that knows the order. TypeScript passes
 * the arguments by name; Lua reads locals of the same names (`halfLife` is `half_life` there), which `script-texts.ts` puts in front.
 */
interface Script {
  keys: readonly (UserKey | 'NODES' | 'ANY')[]
  args: readonly string[]
  /** Name of a list of further arguments, which follows `args`. */
  rest?: string
  /** The script takes the keys and arguments of a log, and `prelude-load.lua` in front loads it. */
  log?: true
  /** The script is of a topic, or of its broadcasts: it takes the key and the arguments that `prelude-topic.lua` explains. */
  of?: 'topic' | 'broadcast'
  /** Name of the script that carries out one item of this batch script. The fields of an item are `BATCH_FIELDS` and that script's own arguments. */
  each?: string
}

/** Fields that every item of a batch script has before those of its script: the beginning of the user's keys, and the user. */
const BATCH_FIELDS = ['stem', 'user'] as const

function ofLog<const Args extends readonly string[]>(args: Args) {
  return { keys: [...LOG_KEYS, 'GUARD'] as const, args: [...LOG_ARGS, ...args] as const, log: true as const }
}

/** Arguments that every script of a topic takes before its own. */
const TOPIC_ARGS = ['clock', 'topic'] as const

function ofTopic<const Args extends readonly string[], const Rest extends string>(args: Args, rest: Rest) {
  return { keys: ['WAITING', 'GUARD'] as const, args: [...TOPIC_ARGS, ...args] as const, rest, of: 'topic' as const }
}

function ofBroadcast<const Args extends readonly string[]>(args: Args) {
  return { keys: ['WAITING', 'GUARD'] as const, args: [...TOPIC_ARGS, ...args] as const, of: 'broadcast' as const }
}

export const scripts = {
  'publish-full': ofLog(['id', 'keyed', 'tail', 'halfLife', 'options']),
  advance: ofLog([]),
  attach: {
    ...ofLog([
      'node',
      'count',
      'connections',
      'issuedAt',
      'device',
      'start',
      'startEpoch',
      'startOffset',
      'startId8',
      'seenEpoch',
      'seenOffset',
      'maxRows',
      'maxBytes',
      'newcomer',
      'received'
    ]),
    keys: [...LOG_KEYS, 'KICKS', 'GUARD']
  },
  'ack-full': ofLog(['device', 'ackedEpoch', 'ackedOffset', 'ackedId8']),
  mark: { ...ofLog(['rowId', 'state', 'only', 'upToEpoch', 'upToOffset', 'ageMs']), rest: 'wantedIds' },
  retract: ofLog(['rowId', 'id', 'reason', 'broadcastAt', 'only']),
  inbox: { ...ofLog(['beforeEpoch', 'beforeOffset', 'maxItems', 'isCounted', 'wantedStates']), rest: 'wantedTypes' },
  answer: ofLog(['rowId', 'id', 'action', 'device', 'deviceJson', 'byLink']),
  scheduled: ofLog(['afterAt', 'afterNo', 'maxItems']),
  subscribe: ofLog(['device', 'lane', 'subscription']),
  unsubscribe: ofLog(['device']),
  subscriptions: ofLog([]),
  lease: ofLog(['lane', 'maxCalls']),
  presence: ofLog(['change']),
  settle: ofLog(['callEpoch', 'no', 'madeAt', 'attempt', 'outcome', 'retryAt', 'endpoint']),
  find: ofLog(['id']),
  queue: ofLog([]),
  erase: { ...ofLog(['reason']), keys: [...LOG_KEYS, 'KICKS', 'GUARD'] },
  disconnect: { ...ofLog(['connectionId', 'revoke', 'reason']), keys: [...LOG_KEYS, 'KICKS', 'GUARD'] },
  'publish-usual': { keys: [], args: ['clock', 'newEpoch'], rest: 'items', each: 'publish-full' },
  'ack-usual': { keys: [], args: ['clock', 'newEpoch'], rest: 'items', each: 'ack-full' },
  'members-reserve': ofTopic(['ttlMs'], 'names'),
  'members-change': ofTopic(['addedCount'], 'names'),
  'members-check': ofTopic(['user'], 'topics'),
  'members-page': ofTopic(['mode', 'after', 'limit'], 'listed'),
  'memberships-add': ofTopic([], 'items'),
  'memberships-remove': ofTopic(['version'], 'items'),
  memberships: { ...ofBroadcast(['part', 'user']), of: 'topic' },
  'broadcast-start': { ...ofBroadcast(['broadcast', 'startKey', 'to', 'id', 'tail', 'halfLife', 'options', 'expiresAt']), rest: 'except' },
  'broadcast-lease': ofBroadcast(['collector']),
  'broadcast-settle': ofBroadcast(['collector', 'broadcast', 'from', 'isRecall', 'size', 'accepted', 'parked', 'rejected']),
  'broadcast-release': ofBroadcast(['collector', 'broadcast', 'from', 'isRecall']),
  'broadcast-cancel': ofBroadcast(['broadcast']),
  'broadcast-erase': ofBroadcast(['user', 'after']),
  'broadcast-find': ofBroadcast(['broadcast']),
  'broadcast-collect': { ...ofBroadcast(['collector', 'broadcast', 'erasures', 'isComplete']), rest: 'names' },
  detach: { keys: ['REGISTRY', 'COUNTERS'], args: ['node', 'count', 'connections'] },
  'revoked-before': { keys: ['META'], args: [] },
  renew: { keys: ['COUNTERS'], args: ['node'], rest: 'users' },
  counter: { keys: ['COUNTERS'], args: ['node'] },
  counters: { keys: ['COUNTERS'], args: ['node'], rest: 'further' },
  due: { keys: ['ANY'], args: ['clock', 'maxUsers', 'overdueMs', 'horizonMs'], rest: 'further' },
  'renew-presence': { keys: ['TIMES'], args: ['clock', 'maxUsers', 'overdueMs', 'checkMs'], rest: 'further' },
  secret: { keys: ['ANY'], args: ['value'] },
  beat: { keys: ['NODES'], args: ['node', 'deadAfterMs', 'forgetAfterMs', 'maxNodes'] },
  'mark-dead': { keys: ['COUNTERS'], args: ['deadCounter'], rest: 'nodes' },
  probe: { keys: ['ANY'], args: [] },
  room: { keys: ['META'], args: [] }
} as const satisfies Record<string, Script>

type Scripts = typeof scripts
export type ScriptName = keyof Scripts

/** Names of the scripts that `Matching` describes. */
type NamesOf<Matching> = { [Name in ScriptName]: Scripts[Name] extends Matching ? Name : never }[ScriptName]

export type LogScript = NamesOf<{ log: true }>
export type TopicScript = NamesOf<{ of: 'topic' | 'broadcast' }>
export type BatchScript = NamesOf<{ each: string }>

export type Value = string | number

/** Arguments of a script by name. */
export type Args<Name extends ScriptName> = { [Arg in Scripts[Name]['args'][number]]: Value } & (Scripts[Name] extends {
  rest: infer Rest extends string
}
  ? { [Name in Rest]: readonly Value[] }
  : unknown)

/** Arguments of a log's script without those that every such script takes. */
export type OwnArgs<Name extends LogScript> = Omit<Args<Name>, (typeof LOG_ARGS)[number]>

/** Arguments of a topic's script without those that every such script takes. */
export type TopicArgs<Name extends TopicScript> = Omit<Args<Name>, (typeof TOPIC_ARGS)[number]>

/** Returns the description of a script with its optional parts. */
export function scriptOf(name: ScriptName): Script {
  return scripts[name]
}

/** Arranges arguments in the order of `ARGV`. */
export function arrange<Name extends ScriptName>(name: Name, args: Args<Name>): Value[] {
  const { args: names, rest } = scriptOf(name)
  const values = args as Record<string, Value> & Record<string, readonly Value[]>
  const arranged: Value[] = names.map((arg) => values[arg] as Value)
  return rest === undefined ? arranged : arranged.concat(values[rest] ?? [])
}

/** Returns the names of an item's fields, in their order. */
export function fieldsOf(name: BatchScript): readonly string[] {
  return [...BATCH_FIELDS, ...scripts[scripts[name].each].args.slice(LOG_ARGS.length)]
}

/** Name of a script as a command of the Redis client. */
export function commandOf<Name extends ScriptName>(name: Name): `belfry${Name}` {
  return `belfry${name}`
}

/** Commands that `ScriptBatcher` has gathered already. If the client waited for further ones as well, they would only be late. */
export const batchCommands: string[] = (Object.keys(scripts) as ScriptName[])
  .filter((name) => 'each' in scripts[name])
  .map((name) => commandOf(name))
