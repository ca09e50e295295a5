import { writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { chart } from './chart.ts'
import { amount, type Entry, type Report } from './report.ts'

/** Measures whose figures are of one kind, and are drawn. */
const DRAWN = ['single', 'batch', 'latency', 'nodes', 'idle', 'connects']

const METHOD = `All programs run on one machine, in one run, with the same client and the same messages of some 200 bytes. The client shares the
machine with what it measures: it speaks WebSocket and HTTP on raw sockets, which costs about a tenth of a usual client.

- **Ratios count.** Two programs are measured in turns (a b, b a, a b), and the ratio is the median of the pairs' own ratios; the range is beside it.
- **CPU** is user and system time of the nodes and of Redis by the scheduler's account, for each message published and received.
- **Latency** is an open loop: a message is due at its time whatever became of those before, and latency counts from when it was due.
- **Void** is a pair in which the generator was late, something was lost, or other processes used more than 15 % of what was measured; such pairs
  are left out, and where all pairs were void, that is said beside the figure.
- Each program has two nodes and a Redis of its own unless a title says otherwise, with an append-only file synced each second. Belfry logs
  warnings only, wants a token with every request and connection, stores each notification and holds each user to ten a second; its clients
  use the shared device, whose cursor Belfry moves. The others do none of that, but for the pattern, which has its own limit and queue.
- The pattern is Express, \`ws\`, one channel and a list per user, as it is usually written: it sends locally and publishes, so that clients on
  the same node get each message twice; that cost is in its figures.`

/** Writes the page and its charts beside the file of results. */
export async function writePage(report: Report, file: string): Promise<void> {
  const folder = dirname(file)
  const sections: string[] = []
  for (const entry of report.entries) {
    const drawn = DRAWN.includes(entry.name) && entry.figures.every(({ value }) => Number.isFinite(value))
    if (drawn) await writeFile(join(folder, `${entry.name}.svg`), chart(entry))
    sections.push(section(entry, drawn))
  }
  await writeFile(
    join(folder, 'README.md'),
    `# Benchmarks

Made by \`npm run bench\` from [its results](${basename(file)}): nothing here was typed by hand. ${report.date}, ${report.machine}, Node ${report.node}.

${METHOD}

${summary(report.entries)}

${sections.join('\n')}`
  )
}

function summary(entries: Entry[]): string {
  const rows = entries.flatMap(({ title, verdicts }) =>
    verdicts.map(
      ({ what, value, goal, met }) => `| ${cell(title)} | ${cell(what)} | ${amount(value)} | ${cell(goal)} | ${met ? 'met' : 'unmet'} |`
    )
  )
  return `## Goals\n\n| measure | what | value | goal | |\n|---|---|---:|---|---|\n${rows.join('\n')}`
}

function section({ name, title, unit, quick, figures, notes }: Entry, drawn: boolean): string {
  const rows = figures.map(({ label, value, note = '' }) => `| ${cell(label)} | ${amount(value)} ${unit} | ${cell(note)} |`)
  const picture = drawn ? `![${title}](${name}.svg)\n\n` : ''
  const remarks = notes.length === 0 ? '' : `\n${notes.map((note) => `- ${cell(note)}`).join('\n')}\n`
  return `## ${title}${quick ? ' (a quick run)' : ''}\n\n${picture}| | | |\n|---|---:|---|\n${rows.join('\n')}\n${remarks}`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}
