import { readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { rules } from './checker.ts'
import type { Outcome } from './mutants.ts'
import { countsText, type Summary, verdict } from './report.ts'

const PAGE = 'docs/explanation/chaos.md'
const MARK = /(<!-- figures: .* -->\n)[\s\S]*(<!-- end of figures -->)/

/** Returns the page's section of figures, made from the JSON of the runs. */
export function figures(runs: Summary[], mutants: Outcome[]): string {
  const lines: string[] = ['']
  for (const run of runs) lines.push('```text', countsText(run), verdict(run), '```', '')
  const caught = mutants.filter(({ caughtBy }) => caughtBy.length > 0).length
  lines.push(`${caught} of ${mutants.length} seeded defects were caught:`, '', '| defect | caught by | seconds |', '| --- | --- | --- |')
  for (const { name, caughtBy, others, seconds } of mutants) {
    const also = others.length === 0 ? '' : ` (also ${others.join(', ')})`
    lines.push(`| ${name} | ${caughtBy.length === 0 ? 'nothing' : caughtBy.map((rule) => `\`${rule}\``).join(', ')}${also} | ${seconds} |`)
  }
  return `${lines.join('\n')}\n\n`
}

/** Returns the rules as a table. */
export function rulesTable(): string {
  return ['| rule | what must hold |', '| --- | --- |', ...Object.entries(rules).map(([rule, text]) => `| \`${rule}\` | ${text} |`)].join(
    '\n'
  )
}

/** `node build/test/chaos/figures.js mutants.json run.json [run.json …]` writes the figures into the page. */
async function main([mutantsFile, ...runFiles]: string[]): Promise<void> {
  if (mutantsFile === undefined || runFiles.length === 0) throw new Error('usage: figures.js mutants.json run.json [run.json ...]')
  const { outcomes } = JSON.parse(await readFile(mutantsFile, 'utf8')) as { outcomes: Outcome[] }
  const runs = await Promise.all(runFiles.map(async (file) => JSON.parse(await readFile(file, 'utf8')) as Summary))
  const page = await readFile(PAGE, 'utf8')
  if (!MARK.test(page)) throw new Error(`${PAGE} has no place for figures`)
  await writeFile(
    PAGE,
    page.replace(MARK, (_all, head: string, end: string) => `${head}${figures(runs, outcomes)}${end}`)
  )
}

if (basename(process.argv[1] ?? '') === 'figures.js') await main(process.argv.slice(2))
