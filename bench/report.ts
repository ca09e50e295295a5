import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import type { Outcome } from './measures/measure.ts'

/** Outcome of one measure, as stored in the file of results. */
export interface Entry extends Outcome {
  name: string
  title: string
  quick: boolean
}

/** Content of the file of results. */
export interface Report {
  machine: string
  node: string
  date: string
  entries: Entry[]
}

/** Formats an entry as lines for the terminal. */
export function formatEntry(entry: Entry): string {
  const figures = entry.figures.map(
    ({ label, value, note }) => `  ${label.padEnd(44)} ${amount(value).padStart(10)} ${entry.unit}${note === undefined ? '' : `  ${note}`}`
  )
  const verdicts = entry.verdicts.map(
    ({ what, value, goal, met }) => `  ${met ? 'MET   ' : 'UNMET '} ${what.padEnd(46)} ${amount(value).padStart(10)}   goal ${goal}`
  )
  return `${[`${entry.title}${entry.quick ? ' (quick run: not a result)' : ''}`, ...figures, ...verdicts, ...entry.notes.map((note) => `  (${note})`)].join('\n')}\n\n`
}

/** Formats a number: integers from 100, two decimals below. */
export function amount(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(2)
}

/** Adds entries to the file of results, in place of earlier ones of the same measures, and returns the whole report. */
export async function saveEntries(file: string, entries: Entry[], order: readonly string[]): Promise<Report> {
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
