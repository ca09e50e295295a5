import { parseArgs } from 'node:util'
import { measures } from './measures/all.ts'
import type { Bench } from './measures/measure.ts'
import { writePage } from './page.ts'
import { others } from './peers/all.ts'
import type { Peer } from './peers/peer.ts'
import { type Entry, line, save } from './report.ts'

const usage = `Usage: npm run bench -- [options]

The benchmark: Belfry beside other programs, in one run, by one client, with the same messages. Figures that matter are ratios of pairs
measured in turns. Redis and the generator are on this machine too.

  --peers LIST    all, or some of: ${others.map(({ name }) => name).join(' ')}; default: bare
  --measure LIST  some of: ${measures.map(({ name }) => name).join(' ')}; default: all
  --pairs N       pairs of each interleaved measure; default 5
  --quick         a tenth of everything: to see that it works, not for the record
  --json FILE     results to this file too, added to what it holds
  --docs          with it: also writes README.md and its charts into the folder of that file

Exit code 1 when a measure failed; goals that were missed are told, and change nothing.
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
    peers: await chosen(values.peers ?? 'bare'),
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
      process.stdout.write(line(entry))
      if (values.json !== undefined) {
        const report = await save(values.json, [entry], order)
        if (values.docs === true) await writePage(report, values.json)
      }
    } catch (error) {
      process.exitCode = 1
      process.stderr.write(`${measure.title}: ${(error as Error).stack}\n`)
    }
  }
}

/** The peers asked for that can run here; what is missing is named. */
async function chosen(list: string): Promise<Peer[]> {
  const names = list === 'all' ? others.map(({ name }) => name) : list.split(',')
  const unknown = names.filter((name) => !others.some((peer) => peer.name === name))
  if (unknown.length > 0) throw new Error(`no such peer: ${unknown.join(', ')}`)
  const wanted = others.filter(({ name }) => names.includes(name))
  const able: Peer[] = []
  for (const peer of wanted) {
    const missing = await peer.missing()
    if (missing === undefined) able.push(peer)
    else process.stdout.write(`MISSING  ${peer.label}: ${missing}\n`)
  }
  return able
}

await main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
})
process.exit()
