import { parseArgs } from 'node:util'
import { measures } from './measures/all.ts'
import type { Bench } from './measures/measure.ts'
import { writePage } from './page.ts'
import { others } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'
import { type Entry, formatEntry, saveEntries } from './report.ts'

const usage = `Usage: npm run bench -- [options]

Measures Belfry and other programs in one run, with the same client and the same messages. Compare the ratios, which come from pairs
measured in turns. Redis and the load generator run on this machine too.

  --peers LIST    all, or some of: ${others.map(({ name }) => name).join(' ')}; default: bare
  --measure LIST  some of: ${measures.map(({ name }) => name).join(' ')}; default: all
  --pairs N       pairs of each interleaved measure; default 5
  --quick         a tenth of all amounts: a check that the benchmark works, not a result
  --json FILE     also writes the results to this file; replaces earlier results of the same measures
  --docs          with --json: also writes README.md and the charts into the folder of FILE

Exit code 1 if a measure failed. A missed goal is printed and does not change the exit code.
`

async function main(): Promise<void> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({
    options: { peers: text, measure: text, pairs: text, quick: flag, json: text, docs: flag, help: flag },
    strict: true
  })
  if (values.help === true) {
    process.stdout.write(usage)
    return
  }
  const quick = values.quick ?? false
  const bench: Bench = {
    peers: await availablePeers(values.peers ?? 'bare'),
    quick,
    pairs: Number(values.pairs ?? (quick ? 2 : 5)),
    amount: (full) => (quick ? Math.ceil(full / 10) : full),
    say: (message) => void process.stderr.write(`  … ${message}\n`)
  }
  const names = values.measure?.split(',') ?? measures.map(({ name }) => name)
  const unknown = names.filter((name) => !measures.some((measure) => measure.name === name))
  if (unknown.length > 0) throw new Error(`no such measure: ${unknown.join(', ')}`)
  const order = measures.map(({ name }) => name)
  for (const measure of measures.filter(({ name }) => names.includes(name))) {
    try {
      const outcome = await measure.run(bench)
      const entry: Entry = { name: measure.name, title: measure.title, quick, ...outcome }
      process.stdout.write(formatEntry(entry))
      if (values.json !== undefined) {
        const report = await saveEntries(values.json, [entry], order)
        if (values.docs === true) await writePage(report, values.json)
      }
    } catch (error) {
      process.exitCode = 1
      process.stderr.write(`${measure.title}: ${(error as Error).stack}\n`)
    }
  }
}

/** Returns the requested peers that can run on this machine, and prints why the others cannot. */
async function availablePeers(list: string): Promise<Peer[]> {
  const names = list === 'all' ? others.map(({ name }) => name) : list.split(',')
  const unknown = names.filter((name) => !others.some((peer) => peer.name === name))
  if (unknown.length > 0) throw new Error(`no such peer: ${unknown.join(', ')}`)
  const wanted = others.filter(({ name }) => names.includes(name))
  const available: Peer[] = []
  for (const peer of wanted) {
    const missing = await peer.missing()
    if (missing === undefined) available.push(peer)
    else process.stdout.write(`MISSING  ${peer.label}: ${missing}\n`)
  }
  return available
}

await main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
})
process.exit()
