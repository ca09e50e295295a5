import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { endWithProcess } from '../fixtures/children.ts'
import type { Rule } from './checker.ts'
import { editSource } from './edit-source.ts'
import { type Edit, type Mutation, mutations } from './mutations.ts'
import type { Summary } from './report.ts'
import { lossyKinds } from './schedule.ts'

const BUILD = join(import.meta.dirname, '..', '..')
const ROOT = join(BUILD, '..')
/** Folder of the edited sources, beside what they compile to. */
const SOURCE = 'source'
const execute = promisify(execFile)

const SEED = 42
const SECONDS = 10
const USERS = 15
const REST_SECONDS = 25
/** Time for one retry of a webhook. */
const CALL_REST_SECONDS = 10

/** The outcome of one defect: the broken rules, those that count first. */
export interface Outcome {
  name: string
  caughtBy: Rule[]
  others: Rule[]
  seconds: number
  /** Reason for a missing verdict; '' if there is a verdict. */
  failure: string
}

/** Makes a copy of the build with the defect in it. Rejects when an anchor is not in its source exactly once. */
async function mutate(mutation: Pick<Mutation, 'edits'>, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const programs = (await readdir(BUILD)).filter((name) => name.endsWith('.js'))
  const parts = [...programs, 'plugins', 'pages', 'routes', 'services', 'packages']
  await Promise.all(parts.map((part) => cp(join(BUILD, part), join(folder, part), { recursive: true })))
  await compileEdited([{ edits: mutation.edits, out: '.' }], folder)
}

/** Writes the edited sources to `<folder>/source/<out>`, and what they compile to, and Lua, to `<folder>/<out>`. */
export async function compileEdited(variants: { edits: Edit[]; out: string }[], folder: string): Promise<void> {
  let compiled = false
  for (const { edits, out } of variants) {
    for (const file of new Set(edits.map(({ file }) => file))) {
      const isLua = file.endsWith('.lua')
      const path = join(folder, isLua ? '' : SOURCE, out, file)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(
        path,
        editSource(
          await readFile(join(ROOT, file), 'utf8'),
          edits.filter((edit) => edit.file === file)
        )
      )
      compiled ||= !isLua
    }
  }
  if (!compiled) return
  // File by file: edits break types on purpose (an unused local, unreachable code), and one file takes a second.
  const compilerOptions = { noCheck: true, noResolve: true, types: [], incremental: false, rootDir: SOURCE, outDir: '.' }
  const project = { extends: join(ROOT, 'tsconfig.test.json'), compilerOptions, include: [SOURCE], exclude: [] }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project))
  // tap loads its module loader into every child process through NODE_OPTIONS; the compiler does not start with it.
  await execute('env', ['-u', 'NODE_OPTIONS', join(ROOT, 'node_modules/.bin/tsc'), '-p', folder]).catch((error: { stdout: string }) => {
    throw new Error(`an edited source does not compile: ${error.stdout}`)
  })
}

/** Runs the chaos of a mutation against a copy of the build with the defect. */
export async function runMutant(mutation: Mutation): Promise<Outcome> {
  const begun = Date.now()
  const folder = join(BUILD, 'mutants', `${process.pid}-${mutations.indexOf(mutation)}`)
  const outcome: Outcome = { name: mutation.name, caughtBy: [], others: [], seconds: 0, failure: '' }
  try {
    await mutate(mutation, folder)
    const summary = await run(mutation, folder)
    const broken = Object.keys(summary.rules) as Rule[]
    outcome.caughtBy = broken.filter((rule) => mutation.rules.includes(rule))
    outcome.others = broken.filter((rule) => !mutation.rules.includes(rule))
  } catch (error) {
    outcome.failure = (error as Error).message
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  outcome.seconds = Math.round((Date.now() - begun) / 1000)
  return outcome
}

/** Runs chaos with the settings of a mutation, on any build. */
export async function run(mutation: Omit<Mutation, 'name' | 'edits' | 'rules'>, build: string): Promise<Summary> {
  const {
    store,
    bus = 'redis',
    faults,
    seconds = SECONDS,
    intensity = 1,
    users = USERS,
    rate = 100,
    entries = 100_000,
    nodes = 2,
    topics = 0
  } = mutation
  const file = join(BUILD, 'mutants', `${process.pid}-${Math.random().toString(36).slice(2)}.json`)
  await mkdir(join(BUILD, 'mutants'), { recursive: true })
  const rests = { rest: REST_SECONDS, 'call-rest': CALL_REST_SECONDS }
  const numbers = { seconds, seed: SEED, intensity, users, rate, entries, nodes, topics, ...rests }
  const args = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(process.execPath, [
    join(import.meta.dirname, 'run.js'),
    '--store',
    store,
    '--bus',
    bus,
    '--faults',
    faults.join(','),
    '--build',
    build,
    '--json',
    file,
    ...args
  ])
  endWithProcess(child, 'SIGTERM')
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => {
      output = (output + data).slice(-3000)
    })
  }
  await once(child, 'close')
  const journal = /^journal: (.*)\/[^/]*$/m.exec(output)?.[1]
  if (journal !== undefined) await rm(journal, { recursive: true, force: true })
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Summary
  } catch {
    throw new Error(/^chaos: void.*$/m.exec(output)?.[0] ?? `the run has no result: ${output}`)
  } finally {
    await rm(file, { force: true })
  }
}

async function main(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))
  const { values } = parseArgs({ options: { only: { type: 'string' }, json: { type: 'string' } } })
  const chosen = mutations.filter(
    ({ name }, index) => values.only === undefined || values.only.split(',').includes(String(index + 1)) || name.includes(values.only)
  )
  const outcomes: Outcome[] = []
  process.stdout.write('| # | defect | caught by | seconds |\n|---|---|---|---|\n')
  for (const mutation of chosen) {
    const outcome = await runMutant(mutation)
    outcomes.push(outcome)
    const others = outcome.others.length === 0 ? '' : ` (and ${outcome.others.join(', ')})`
    const verdict =
      outcome.failure !== ''
        ? `FAILED: ${outcome.failure}`
        : outcome.caughtBy.length > 0
          ? `${outcome.caughtBy.join(', ')}${others}`
          : `NOT CAUGHT${others}`
    process.stdout.write(`| ${mutations.indexOf(mutation) + 1} | ${outcome.name} | ${verdict} | ${outcome.seconds} |\n`)
  }
  const control = values.only === undefined ? await controls() : []
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ outcomes, control }, null, 2)}\n`)
  const caught = outcomes.filter(({ caughtBy }) => caughtBy.length > 0).length
  const clean = control.filter(({ breaches }) => breaches === 0).length
  process.stdout.write(`mutants: ${caught} of ${outcomes.length} caught, ${clean} of ${control.length} control runs clean\n`)
  process.exit(caught === outcomes.length && clean === control.length ? 0 : 1)
}

/** Runs the unchanged build under the faults of all mutants, once per kind of run. */
async function controls(): Promise<Summary[]> {
  const groups = new Map<string, Mutation>()
  for (const mutation of mutations) {
    const { store, bus = 'redis', faults, entries = 0 } = mutation
    const lossy = faults.filter((kind) => lossyKinds.includes(kind))
    const key = `${store} ${bus} ${entries} ${lossy}`
    const group = groups.get(key)
    const all = [...new Set([...(group?.faults ?? []), ...faults])]
    groups.set(key, { ...mutation, faults: all, seconds: 15, intensity: 2 })
  }
  const summaries: Summary[] = []
  for (const [key, group] of groups) {
    const summary = await run(group, BUILD)
    process.stdout.write(
      `control ${key}: ${summary.breaches === 0 ? 'clean' : `BREACH ${JSON.stringify(summary.rules)}`}, ${summary.accepted} accepted\n`
    )
    summaries.push(summary)
  }
  return summaries
}

if (basename(process.argv[1] ?? '') === 'mutants.js') await main()
