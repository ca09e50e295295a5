import { readFileSync } from 'node:fs'
import { BATCH_LEASE_MS, BATCH_MAX, BROADCAST_KEPT_MS, BROADCASTS_MAX } from '../audiences.ts'
import { ERASED } from '../broadcast-step.ts'
import {
  CHECK_BATCH,
  COALESCE_EVERY,
  DELIVER_BATCH,
  FOLD_AFTER_HALF_LIVES,
  FORGET_EVERY,
  IDEMPOTENCY_WINDOW,
  INLINE_MAX,
  LEASE_MS,
  MAX_CALLS,
  MAX_DEVICES,
  MAX_FENCE,
  MAX_OVERDUE_MS,
  MAX_RECEIPTS,
  MAX_SUBSCRIPTIONS,
  META_TTL_MS,
  RELEASE_BATCH
} from '../limits.ts'
import { changesBound } from '../retention.ts'
import { COUNT_ID, LOST_ID, NO_TAG } from '../row.ts'
import type { ReachRule, StoreSettings, WebhookEvent } from '../store.ts'
import { isBucketKey, KEY_KINDS, type UserKey } from './keys.ts'
import { type BatchScript, fieldsOf, type ScriptName, scriptOf, scripts } from './script-table.ts'

/** Time until a registry that no node renews expires, milliseconds. */
const REGISTRY_TTL_MS = 24 * 3600 * 1000

/** Stands in the lists below for the file that says how messages to nodes are sent. */
const SEND = 'prelude-send'

/** Files that begin each script of a log, those that begin each script of a topic, and those that begin each batch script. */
const LOG_PRELUDE = [
  'prelude-clock',
  'prelude-shared',
  'prelude-row',
  SEND,
  'prelude-wake',
  'prelude-load',
  'prelude-options',
  'prelude-unread',
  'prelude-outbox',
  'prelude-upgrade',
  'prelude-order',
  'prelude',
  'prelude-moves'
]
const TOPIC_PRELUDES = {
  topic: ['prelude-order', 'prelude-topic'],
  broadcast: ['prelude-clock', 'prelude-topic', 'prelude-broadcast']
}
const BATCH_PRELUDE: Record<BatchScript, string[]> = {
  'publish-usual': ['prelude-clock', 'prelude-shared', SEND, 'prelude-wake', 'prelude-batch'],
  'ack-usual': ['prelude-clock', SEND, 'prelude-wake', 'prelude-batch']
}

/** Stands in a batch script for the names of an item's fields, where they are the parameters of a function. */
const ITEM = '@item'

/** The Lua text of every script. */
export type ScriptTexts = ReadonlyMap<ScriptName, string>

/**
 * Way in which the messages of a script reach their nodes. `in-step`: the script publishes them on Redis Pub/Sub. `by-node`: every script replies with
 * a list of its reply and its messages (nodes and messages in turn), and the node that called it sends them.
 */
export type Sending = 'in-step' | 'by-node'

/** Assembles the scripts: in front of each come the constants it uses, its keys and arguments as locals, and its preludes. */
export function scriptTexts(settings: StoreSettings, sending: Sending): ScriptTexts {
  const constants = constantsOf(settings)
  const names = Object.keys(scripts) as ScriptName[]
  return new Map(names.map((name) => [name, assemble(name, constants, sending)]))
}

/** Returns the text of a file in `lua/`. */
export function source(name: string): string {
  return readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
}

/** Returns the Lua name of an argument. */
export function luaName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function assemble(name: ScriptName, constants: Constants, sending: Sending): string {
  const { flags, body } = parts(name)
  const { each } = scriptOf(name)
  const preludes = each === undefined ? singlePrelude(name, sending) : batchPrelude(name as BatchScript, constants, sending)
  const named =
    each === undefined
      ? body
      : body.replace(
          ITEM,
          fieldsOf(name as BatchScript)
            .map(luaName)
            .join(', ')
        )
  const text = withConstants(constants, `${locals(name)}${preludes}${named}`)
  return `${flags}${sending === 'by-node' ? replyingWithMessages(text) : text}`
}

/** Makes a script reply with its messages, too. The script becomes a function, because it may return from any place. */
function replyingWithMessages(text: string): string {
  return `local outgoing = {}\nlocal function step(KEYS, ARGV)\n${text}\nend\nreturn { step(KEYS, ARGV) or false, outgoing }\n`
}

function singlePrelude(name: ScriptName, sending: Sending): string {
  const { log, of } = scriptOf(name)
  if (of !== undefined) return preludeOf(TOPIC_PRELUDES[of], sending)
  return log === true ? preludeOf(LOG_PRELUDE, sending) : ''
}

function preludeOf(files: readonly string[], sending: Sending): string {
  return files.map((file) => source(file === SEND ? `${SEND}-${sending}` : file)).join('')
}

/**
 * The script for one item is a function, `each`. It has constants of its own: Lua makes the function at every call of the batch script,
 * and would bind each constant from outside anew.
 */
function batchPrelude(name: BatchScript, constants: Constants, sending: Sending): string {
  const { each } = scripts[name]
  const single = withConstants(constants, `${locals(each)}${singlePrelude(each, sending)}${parts(each).body}`)
  return `${itemKeys(each)}local function each(KEYS, ARGV)\n${single}end\n${preludeOf(BATCH_PRELUDE[name], sending)}`
}

/** Declares the constants that a text uses in front of it. */
function withConstants(constants: Constants, text: string): string {
  const words = new Set(text.match(/\b[A-Z][A-Z_]+\b/g))
  const used = Object.keys(constants).filter((name) => words.has(name))
  return used.length === 0 ? text : `local ${used.join(', ')} = ${used.map((name) => constants[name]).join(', ')}\n${text}`
}

/** Declares the keys and arguments of a script as Lua locals. */
function locals(name: ScriptName): string {
  const { args, rest, each } = scriptOf(name)
  const keys = namedKeys(name)
  const from = args.length
  let text = ''
  if (keys.length > 0) text += `local ${keys.join(', ')} = unpack(KEYS)\n`
  if (from > 0) text += `local ${args.map(luaName).join(', ')} = unpack(ARGV, 1, ${from})\n`
  if (each !== undefined) return `${text}local FIRST_ITEM, ITEM_SIZE = ${from + 1}, ${fieldsOf(name as BatchScript).length}\n`
  // Lua's stack is too short to unpack a long list at once.
  if (rest !== undefined) text += `local ${luaName(rest)} = {}\nfor i = ${from + 1}, #ARGV do ${luaName(rest)}[i - ${from}] = ARGV[i] end\n`
  return text
}

/** Returns the names of the keys that a script uses: all but GUARD. */
function namedKeys(name: ScriptName): readonly string[] {
  return scriptOf(name).keys.filter((key) => key !== 'GUARD')
}

/** Declares `item_keys`, which returns the `KEYS` of a script for one user. */
function itemKeys(name: ScriptName): string {
  const keys = (namedKeys(name) as UserKey[]).map((key) => `stem .. '${KEY_KINDS[key]}'${isBucketKey(key) ? '' : ' .. user'}`)
  return `local function item_keys(stem, user) return { ${keys.join(', ')} } end\n`
}

/** Separates a script's first line from the rest if that line has flags for the server. */
function parts(name: string): { flags: string; body: string } {
  const text = source(name)
  const flagsEnd = text.startsWith('#!') ? text.indexOf('\n') + 1 : 0
  return { flags: text.slice(0, flagsEnd), body: text.slice(flagsEnd) }
}

/** Lua constants of every script, by name: settings, bounds, and the kinds of keys for scripts that make names of keys. */
type Constants = Readonly<Record<string, number | string>>

function constantsOf(settings: StoreSettings): Constants {
  const kinds = Object.entries(KEY_KINDS).map(([name, kind]) => [`${name}_KIND`, `'${kind}'`] as const)
  return {
    ...Object.fromEntries(kinds),
    RATE_LIMIT: settings.rateLimit,
    RATE_WINDOW_MS: settings.rateWindowMs,
    PARKED_MAX: settings.parkedMax,
    SCHEDULED_MAX: settings.scheduledMax,
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
    DELIVER_BATCH,
    MAX_FENCE,
    CHECK_BATCH,
    MAX_SUBSCRIPTIONS,
    LEASE_MS,
    BATCH_LEASE_MS,
    BATCH_MAX,
    BROADCAST_KEPT_MS,
    BROADCASTS_MAX,
    ERASED: `'\\${ERASED.charCodeAt(0)}'`,
    OUTBOX: outboxConstants(settings),
    INLINE_MAX,
    LOST_ID: `'${LOST_ID}'`,
    COUNT_ID: `'${COUNT_ID}'`,
    NO_TAG: `'${NO_TAG}'`
  }
}

/** Returns a rule as the scripts read it: milliseconds, and the first letter of the condition. */
export function ruleText({ afterMs, unless }: ReachRule): string {
  return `${afterMs}${unless.charAt(0)}`
}

/** Returns a Lua table of the constants that `prelude-outbox.lua` uses: one local of the few that a Lua chunk may have. */
function outboxConstants({ push, webhookEvents = [], presence }: StoreSettings): string {
  const kinds = (['META', 'CHECKS', 'CALLS', 'CALL_TIMES', 'SUBSCRIPTIONS', 'RECEIPTS', 'CALLERS'] as const).map(
    (name) => `${name} = '${KEY_KINDS[name]}'`
  )
  const tells = (event: WebhookEvent): boolean => webhookEvents.includes(event)
  const events = [
    `TELLS_FALLBACKS = ${tells('notification.fallback')}`,
    `TELLS_ANSWERS = ${tells('notification.answered')}`,
    `TELLS_EXPIRIES = ${tells('notification.expired')}`,
    `TELLS_ONLINE = ${tells('user.online')}`,
    `TELLS_OFFLINE = ${tells('user.offline')}`
  ]
  const limits = [`MAX_CALLS = ${MAX_CALLS}`, `MAX_RECEIPTS = ${MAX_RECEIPTS}`, `MAX_OVERDUE_MS = ${MAX_OVERDUE_MS}`]
  const others = [`PUSH_RULE = '${push === undefined ? '' : ruleText(push)}'`, ...limits]
  const times = presence === undefined ? [] : [`GRACE_MS = ${presence.graceMs}`, `PRESENCE_MS = ${presence.checkMs}`]
  return `{ ${[...kinds, ...events, ...others, ...times].join(', ')} }`
}
