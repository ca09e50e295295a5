import { type ParseArgsConfig, parseArgs } from 'node:util'
import { TOKEN_SECONDS } from '../services/auth/signing.ts'
import { isUser } from '../services/users.ts'

/** The command line is wrong: the command ends with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Options of every command that calls a service. */
interface Calling {
  /** Origin of the service; undefined for the one that the environment configures. */
  url: string | undefined
  /** Undefined for a token that is signed with the secret of the service. */
  token: string | undefined
}

interface TokenCommand {
  name: 'token'
  json: boolean
  user: string
  scope: string
  seconds: number
}

/** The audience of a broadcast. */
export type CommandAudience = { topic: string; except?: string[] } | { everyone: true; except?: string[] }

export interface PublishCommand extends Calling {
  name: 'publish'
  json: boolean
  to: string[] | CommandAudience
  type: string
  title: string
  ref: string | undefined
  /** JSON, or `-` to read it from stdin. */
  data: string | undefined
  halfLife: number | undefined
  /** Seconds. */
  ttl: number | undefined
  collapseKey: string | undefined
  urgency: string | undefined
  /** Unix milliseconds. */
  deliverAt: number | undefined
  actions: { action: string; title: string }[]
  key: string | undefined
}

export interface ListenCommand extends Calling {
  name: 'listen'
  json: boolean
  /** May be undefined if there is a token, which names the user. */
  user: string | undefined
  device: string | undefined
  from: string | undefined
}

export interface ScheduleCommand extends Calling {
  name: 'schedule'
  json: boolean
  user: string
  /** The id of the scheduled notification to cancel; undefined: the schedule is listed. */
  cancel: string | undefined
}

export interface TopicCommand extends Calling {
  name: 'topic'
  json: boolean
  action: 'add' | 'remove' | 'members'
  topic: string
  /** Names, or `-` alone to read them from stdin, one a line. Empty for `members`. */
  users: string[]
}

export interface BroadcastCommand extends Calling {
  name: 'broadcast'
  json: boolean
  id: string
  cancel: boolean
}

export interface DoctorCommand {
  name: 'doctor'
  json: boolean
  repair: boolean
}

export interface WebhookCommand {
  name: 'webhook'
  json: boolean
  port: number
  /** Undefined for `WEBHOOK_SECRET`, or a new one. */
  secret: string | undefined
}

export type Command =
  | TokenCommand
  | PublishCommand
  | ListenCommand
  | ScheduleCommand
  | TopicCommand
  | BroadcastCommand
  | DoctorCommand
  | WebhookCommand
  | { name: 'vapid'; json: boolean }
  | { name: 'help'; topic: string }
  | { name: 'version' }

const common = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' }, version: { type: 'boolean' } } as const
const calling = { url: { type: 'string' }, token: { type: 'string' } } as const
const text = { type: 'string' } as const

const options = {
  token: { ...common, user: text, scope: text, expires: text },
  publish: {
    ...common,
    ...calling,
    to: text,
    topic: text,
    everyone: { type: 'boolean' },
    except: text,
    type: text,
    title: text,
    ref: text,
    data: text,
    'half-life': text,
    ttl: text,
    'collapse-key': text,
    urgency: text,
    'deliver-at': text,
    action: { type: 'string', multiple: true },
    key: text
  },
  listen: { ...common, ...calling, user: text, device: text, from: text },
  schedule: { ...common, ...calling, user: text, cancel: text },
  topic: { ...common, ...calling },
  broadcast: { ...common, ...calling, cancel: { type: 'boolean' } },
  doctor: { ...common, repair: { type: 'boolean' } },
  vapid: common,
  webhook: { ...common, port: text, secret: text }
} as const satisfies Record<string, ParseArgsConfig['options']>

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }
const MAX_RECIPIENTS = 1000
const MAX_PORT = 65_535
const URGENCIES = ['very-low', 'low', 'normal', 'high']
const ISO_DATE = /^\d{4}-\d{2}-\d{2}/

/**
 * Parses the command line.
 *
 * @param argv without the executable and the script
 * @throws UsageError
 */
export function readArguments(argv: string[]): Command {
  const [name, ...rest] = argv
  if (name === undefined) throw new UsageError('a command is needed')
  if (name === '--version') return { name: 'version' }
  if (['--help', '-h', 'help'].includes(name)) return { name: 'help', topic: rest[0] ?? '' }
  switch (name) {
    case 'token':
    case 'publish':
    case 'listen':
    case 'schedule':
    case 'topic':
    case 'broadcast':
    case 'doctor':
    case 'vapid':
    case 'webhook': {
      const { values, positionals } = parse(name, rest)
      if (values.help === true) return { name: 'help', topic: name }
      if (values.version === true) return { name: 'version' }
      return readers[name](values, positionals)
    }
    default:
      throw new UsageError(`there is no command "${name}"`)
  }
}

type Values = Record<string, string | boolean | string[] | undefined>

/** Commands whose arguments are not all options. */
const WITH_POSITIONALS = ['topic', 'broadcast']

function parse(name: keyof typeof options, args: string[]): { values: Values; positionals: string[] } {
  try {
    const allowPositionals = WITH_POSITIONALS.includes(name)
    const { values, positionals } = parseArgs({ args: withDashes(name, args), options: options[name], strict: true, allowPositionals })
    return { values: values as Values, positionals }
  } catch (error) {
    // After its first sentence, Node explains a form of arguments that no command has.
    const [problem = ''] = (error as Error).message.split('. To specify')
    throw new UsageError(problem)
  }
}

/**
 * Returns the arguments in the form that `parseArgs` needs for values that begin with a dash, as the id of one notification in 64 does: `--cancel=-x`.
 * The name of an option is never taken as a value, so that a forgotten value is an error.
 */
function withDashes(name: keyof typeof options, args: string[]): string[] {
  const known: NonNullable<ParseArgsConfig['options']> = options[name]
  const isOption = (arg: string) =>
    arg === '-h' || arg === '--' || Object.keys(known).some((option) => `${arg}=`.startsWith(`--${option}=`))
  const joined: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] as string
    const next = args[at + 1]
    if (arg === '--') return [...joined, ...args.slice(at)]
    const takesText = arg.startsWith('--') && known[arg.slice(2)]?.type === 'string'
    if (takesText && next?.startsWith('-') && !isOption(next)) {
      joined.push(`${arg}=${next}`)
      at += 1
    } else joined.push(arg)
  }
  return joined
}

const readers = {
  token: (values: Values): TokenCommand => ({
    name: 'token',
    json: values.json === true,
    user: userOf(required(values, 'user')),
    scope: oneOf(textOf(values, 'scope') ?? '', ['', 'publish', 'admin'], 'scope'),
    seconds: values.expires === undefined ? TOKEN_SECONDS : durationOf(textOf(values, 'expires'), 'expires')
  }),

  publish: (values: Values): PublishCommand => ({
    name: 'publish',
    ...callingOf(values),
    to: audienceOf(values),
    type: required(values, 'type'),
    title: required(values, 'title'),
    ref: textOf(values, 'ref'),
    data: textOf(values, 'data'),
    halfLife: positive(textOf(values, 'half-life'), 'half-life'),
    ttl: values.ttl === undefined ? undefined : durationOf(textOf(values, 'ttl'), 'ttl'),
    collapseKey: textOf(values, 'collapse-key'),
    urgency: textOf(values, 'urgency') && oneOf(required(values, 'urgency'), URGENCIES, 'urgency'),
    deliverAt: timeOf(textOf(values, 'deliver-at')),
    actions: actionsOf(values.action as string[] | undefined),
    key: textOf(values, 'key')
  }),

  listen: (values: Values): ListenCommand => {
    const user = textOf(values, 'user')
    if (user === undefined && values.token === undefined) throw new UsageError('--user is needed, or a --token of the user')
    return {
      name: 'listen',
      ...callingOf(values),
      user: user === undefined ? undefined : userOf(user),
      device: textOf(values, 'device'),
      from: textOf(values, 'from')
    }
  },

  schedule: (values: Values): ScheduleCommand => ({
    name: 'schedule',
    ...callingOf(values),
    user: userOf(required(values, 'user')),
    cancel: textOf(values, 'cancel')
  }),

  topic: (values: Values, [action, topic, ...users]: string[]): TopicCommand => {
    if (action !== 'add' && action !== 'remove' && action !== 'members') throw new UsageError('topic takes add, remove or members')
    if (topic === undefined) throw new UsageError('the topic is needed')
    if ((users.length === 0) !== (action === 'members'))
      throw new UsageError(`${action} takes a topic and ${action === 'members' ? 'no' : 'its'} users`)
    const isFromInput = users.length === 1 && users[0] === '-'
    return { name: 'topic', ...callingOf(values), action, topic: topicOf(topic), users: isFromInput ? users : users.map(userOf) }
  },

  broadcast: (values: Values, [id, ...more]: string[]): BroadcastCommand => {
    if (id === undefined || id === '' || more.length > 0) throw new UsageError('the id of one broadcast is needed')
    return { name: 'broadcast', ...callingOf(values), id, cancel: values.cancel === true }
  },

  doctor: (values: Values): DoctorCommand => ({ name: 'doctor', json: values.json === true, repair: values.repair === true }),

  vapid: (values: Values) => ({ name: 'vapid' as const, json: values.json === true }),

  webhook: (values: Values): WebhookCommand => ({
    name: 'webhook',
    json: values.json === true,
    port: portOf(textOf(values, 'port') ?? '4000'),
    secret: textOf(values, 'secret')
  })
}

function callingOf(values: Values): Calling & { json: boolean } {
  const url = textOf(values, 'url')
  if (url !== undefined && !(URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol))) {
    throw new UsageError('--url must be an http:// or https:// address')
  }
  return { json: values.json === true, url: url?.replace(/\/+$/, ''), token: textOf(values, 'token') }
}

function textOf(values: Values, name: string): string | undefined {
  const value = values[name]
  if (value === '') throw new UsageError(`--${name} is empty`)
  return typeof value === 'string' ? value : undefined
}

function required(values: Values, name: string): string {
  const value = textOf(values, name)
  if (value === undefined) throw new UsageError(`--${name} is needed`)
  return value
}

function portOf(value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > MAX_PORT) throw new UsageError(`--port must be 0 to ${MAX_PORT}`)
  return Number(value)
}

function userOf(user: string): string {
  if (!isUser(user)) throw new UsageError('a user is 1 to 128 printable characters, but not . or ..')
  return user
}

function topicOf(topic: string): string {
  if (!isUser(topic)) throw new UsageError('a topic is 1 to 128 printable characters, but not . or ..')
  return topic
}

/** Reads `--to`, or `--topic` or `--everyone` with `--except`. */
function audienceOf(values: Values): string[] | CommandAudience {
  const to = textOf(values, 'to')
  const topic = textOf(values, 'topic')
  const everyone = values.everyone === true
  if ([to !== undefined, topic !== undefined, everyone].filter(Boolean).length !== 1) {
    throw new UsageError('--to is needed, or --topic, or --everyone; only one of them')
  }
  const list = textOf(values, 'except')
  if (to !== undefined) {
    if (list !== undefined) throw new UsageError('--except goes with --topic or --everyone')
    return recipientsOf(to, 'to')
  }
  const except = list === undefined ? undefined : recipientsOf(list, 'except')
  return { ...(topic === undefined ? { everyone: true } : { topic: topicOf(topic) }), ...(except !== undefined && { except }) }
}

function recipientsOf(list: string, name: string): string[] {
  const users = list.split(',').map((user) => userOf(user.trim()))
  if (users.length > MAX_RECIPIENTS) throw new UsageError(`--${name} takes up to ${MAX_RECIPIENTS} users`)
  return users
}

function oneOf(value: string, words: string[], name: string): string {
  if (!words.includes(value)) throw new UsageError(`--${name} must be ${words.filter((word) => word !== '').join(' or ')}`)
  return value
}

function positive(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined
  const number = Number(value)
  if (!(number > 0 && Number.isFinite(number))) throw new UsageError(`--${name} must be a number above 0`)
  return number
}

/** Parses `90s`, `15m`, `24h` or `7d` into seconds; a number without a unit is seconds. */
function durationOf(value: string | undefined, name: string): number {
  const seconds = secondsIn(value ?? '')
  if (seconds === undefined) throw new UsageError(`--${name} must be like 90s, 15m, 24h or 7d`)
  return seconds
}

function secondsIn(duration: string): number | undefined {
  const [, amount, unit = 's'] = /^([1-9]\d{0,8})([smhd])?$/.exec(duration) ?? []
  return amount === undefined ? undefined : Number(amount) * (SECONDS[unit] as number)
}

/** Parses a time in ISO 8601, or the time from now as `+15m`, into Unix milliseconds. */
function timeOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const seconds = value.startsWith('+') ? secondsIn(value.slice(1)) : undefined
  const time = seconds === undefined ? Date.parse(value) : Date.now() + seconds * 1000
  if (!(time > 0) || (seconds === undefined && !ISO_DATE.test(value))) {
    throw new UsageError('--deliver-at must be a time like 2030-01-31T08:00:00Z, or +15m')
  }
  return time
}

/** Parses `approve=Approve`: the name of an action and its label. */
function actionsOf(values: string[] = []): { action: string; title: string }[] {
  return values.map((value) => {
    const at = value.indexOf('=')
    if (at < 1 || at === value.length - 1) throw new UsageError('--action must be like approve=Approve: a name and its label')
    return { action: value.slice(0, at), title: value.slice(at + 1) }
  })
}
