import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type ChaosOptions, chaos } from './chaos.ts'
import { rules } from './checker.ts'
import { countsText, verdict } from './report.ts'
import { type BusKind, busKinds, type FaultKind, faultKinds, type StoreKind, storeKinds } from './schedule.ts'
import { VoidRun } from './world.ts'

const USAGE = `npm run chaos -- [--seconds 60] [--seed 42] [--store embedded|redis|cluster] [--bus redis|nats] [--faults kind,kind]
                 [--intensity 1] [--users 40] [--rate 130] [--entries 100000] [--retention 604800] [--nodes 3] [--topics 3] [--rest 60]
                 [--call-rest 60] [--build folder] [--json file]
kinds: ${faultKinds.join(' ')}`

/** Largest number of breaches shown for a rule. */
const SHOWN = 5
/** Longest time of a run after its last fault, milliseconds. */
const OVERTIME_MS = 240_000
/** Exit code of a run without a verdict. */
const VOID = 3

const { options, json } = read()
const limit = setTimeout(() => end('chaos: BREACH, the run did not end in time', 2), options.seconds * 1000 + OVERTIME_MS)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(`chaos: stopped by ${signal}`, 130))

const progress = (text: string): boolean => process.stderr.write(`${new Date().toISOString()} ${text}\n`)
const { journal, breaches, summary } = await chaos(options, progress).catch((error: Error) => {
  if (!(error instanceof VoidRun)) throw error
  process.stdout.write(`chaos: void, processes were stopped from outside: ${error.message}\n`)
  process.exit(VOID)
})
clearTimeout(limit)
process.stdout.write(`${countsText(summary)}\n`)
for (const rule of Object.keys(summary.rules)) {
  process.stdout.write(`\n${rule}: ${rules[rule as keyof typeof rules]}\n`)
  const broken = breaches.filter((breach) => breach.rule === rule)
  for (const { text } of broken.slice(0, SHOWN)) process.stdout.write(`  - ${text}\n`)
  if (broken.length > SHOWN) process.stdout.write(`  and ${broken.length - SHOWN} more\n`)
}
if (breaches.length > 0) {
  const file = join(await mkdtemp(join(tmpdir(), 'belfry-chaos-journal-')), 'journal.json')
  await writeFile(file, JSON.stringify(journal))
  process.stdout.write(`\njournal: ${file}\n`)
}
if (json !== undefined) await writeFile(json, `${JSON.stringify(summary, null, 2)}\n`)
process.stdout.write(`${verdict(summary)}\n`)
process.exit(breaches.length === 0 ? 0 : 1)

function end(text: string, code: number): void {
  process.stdout.write(`${text}\n`)
  process.exit(code)
}

function read(): { options: ChaosOptions; json: string | undefined } {
  const text = { type: 'string' } as const
  const names = [
    'seconds',
    'seed',
    'store',
    'bus',
    'faults',
    'intensity',
    'users',
    'rate',
    'entries',
    'retention',
    'build',
    'nodes',
    'topics',
    'rest',
    'call-rest',
    'json'
  ] as const
  try {
    const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, text])), strict: true })
    const given = values as Partial<Record<(typeof names)[number], string>>
    const number = (name: (typeof names)[number], standard: number): number => {
      const value = Number(given[name] ?? standard)
      if (!(value >= 0)) throw new Error(`--${name} must be a number`)
      return value
    }
    const store = (given.store ?? 'redis') as StoreKind
    if (!storeKinds.includes(store)) throw new Error(`--store must be one of ${storeKinds.join(', ')}`)
    const bus = (given.bus ?? 'redis') as BusKind
    if (!busKinds.includes(bus)) throw new Error(`--bus must be one of ${busKinds.join(', ')}`)
    if (bus === 'nats' && store === 'embedded') throw new Error('--bus nats does not go with --store embedded')
    const only = given.faults?.split(',').filter((kind) => kind !== '') as FaultKind[] | undefined
    const unknown = only?.filter((kind) => !faultKinds.includes(kind)) ?? []
    if (unknown.length > 0) throw new Error(`no such faults: ${unknown.join(', ')}`)
    const options: ChaosOptions = {
      store,
      bus,
      seed: number('seed', 42),
      seconds: number('seconds', 60),
      only,
      intensity: number('intensity', 1),
      users: number('users', 40),
      rate: number('rate', 130),
      maxEntries: number('entries', 100_000),
      retentionSeconds: number('retention', 604_800),
      nodes: number('nodes', 3),
      topics: number('topics', 3),
      restMs: number('rest', 60) * 1000,
      callRestMs: number('call-rest', 60) * 1000,
      build: given.build ?? join(import.meta.dirname, '..', '..')
    }
    return { options, json: given.json }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`)
    process.exit(64)
  }
}
