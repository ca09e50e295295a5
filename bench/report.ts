import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import type { Outcome } from './measures/measure.ts'

/** One measure's outcome as it is kept. */
export interface Entry extends Outcome {
  name: string
  title: string
  quick: boolean
}

/** What a file of results holds. */
export interface Report {
  machine: string
  node: string
  date: string
  entries: Entry[]
}

/** A measure as a few lines for the terminal. */
export function line(entry: Entry): string {
  const figures = entry.figures.map(
    ({ label, value, note }) => `  ${label.padEnd(44)} ${amount(value).padStart(10)} ${entry.unit}${note === undefined ? '' : `  ${note}`}`
  )
  const verdicts = entry.verdicts.map(
    ({ what, value, goal, met }) => `  ${met ? 'MET   ' : 'UNMET '} ${what.padEnd(46)} ${amount(value).padStart(10)}   goal ${goal}`
  )
  return `${[`${entry.title}${entry.quick ? ' (quick: not for the record)' : ''}`, ...figures, ...verdicts, ...entry.notes.map((note) => `  (${note})`)].join('\n')}\n\n`
}

/** A number with as many digits as it is worth. */
export function amount(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(2)
}

/** Adds to the results in a file; those of the same measures are replaced. */
export async function save(file: string, entries: Entry[], order: readonly string[]): Promise<Report> {
  const before: Entry[] = existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as Report).entries : []
  const kept = before.filter(({ name }) => !entries.some((entry) => entry.name === name))
  const [cpu] = cpus()
  const report: Report = {
    machine: `${cpus().length} cores of ${cpu?.model ?? 'an unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    entries: [...kept, ...entries].sort((one, other) => order.indexOf(one.name) - order.indexOf(other.name))
  }
  await writeFile(file, `${JSON.stringify(report, undefined, 2)}\n`)
  return report
}
