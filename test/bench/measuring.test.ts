import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { chart } from '../../bench/chart.ts'
import { timeOf } from '../../bench/cpu.ts'
import { interleave, median } from '../../bench/interleave.ts'
import { atLeast, atMost, noteOf } from '../../bench/measures/measure.ts'
import { writePage } from '../../bench/page.ts'
import { type Entry, formatEntry, saveEntries } from '../../bench/report.ts'
import { NodeProcess } from '../fixtures/node-process.ts'

const entry: Entry = {
  name: 'single',
  title: 'CPU <of> it',
  quick: false,
  unit: 'µs',
  figures: [
    { label: 'Belfry', value: 50 },
    { label: 'other', value: 1234.5, note: 'a | b' }
  ],
  verdicts: [atMost('to other', 0.5, 0.85), atLeast('a second', 10, 20)],
  notes: ['a note']
}

t.test('pairs are measured by turns, and flawed ones are repeated', async (t) => {
  const order: string[] = []
  const values = { a: [10, 20, 30, 40], b: [10, 10, 10, 10] }
  const side = (name: 'a' | 'b', flawAt: number) => async () => {
    order.push(name)
    const index = order.filter((one) => one === name).length - 1
    return { value: values[name][index] ?? Number.NaN, flaw: index === flawAt ? 'late (5 ms)' : undefined }
  }
  const comparison = await interleave(3, side('a', 1), side('b', -1))
  t.equal(order.join(''), 'abbaabba')
  t.match(comparison, { a: 30, b: 10, ratio: 3, low: 1, high: 4, pairs: 3, flaws: ['late (5 ms)'] })
  t.equal(noteOf('b', comparison), 'ratio to b: 3.00 (1.00 to 4.00, 3 pairs); 1 left out: late')
  const flawed = async () => ({ value: 1, flaw: 'late' })
  const allFlawed = await interleave(1, flawed, flawed)
  t.match(allFlawed, { ratio: 1, pairs: 0 })
  t.match(noteOf('b', allFlawed), /VOID/)
  t.equal(median([4, 1, 3, 2]), 2.5)
})

t.test('the report: lines, JSON, page and chart', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-report-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  t.match(formatEntry(entry), /MET {4}to other[\s\S]*UNMET {2}a second/)
  const file = join(folder, 'results.json')
  await saveEntries(file, [{ ...entry, name: 'batch' }], ['single', 'batch'])
  await saveEntries(file, [{ ...entry, title: 'older' }], ['single', 'batch'])
  const report = await saveEntries(file, [entry], ['single', 'batch'])
  t.same(
    report.entries.map(({ name, title }) => [name, title]),
    [
      ['single', 'CPU <of> it'],
      ['batch', 'CPU <of> it']
    ]
  )
  t.same(JSON.parse(readFileSync(file, 'utf8')), report)
  await writePage(report, file)
  const page = readFileSync(join(folder, 'README.md'), 'utf8')
  t.match(page, /\| CPU &lt;of> it \| to other \| 0\.50 \| &lt;= 0\.85 \| met \|/)
  t.match(page, 'a \\| b')
  t.match(page, '(single.svg)')
  t.match(page, '(results.json)')
  t.equal(readFileSync(join(folder, 'single.svg'), 'utf8'), chart(entry))
  t.match(chart(entry), /CPU &lt;of&gt; it[\s\S]*1,235 µs/)
})

t.test('CPU time counts the work of a process', { skip: process.platform !== 'linux' }, async (t) => {
  const before = timeOf([process.pid]).cpu
  const end = performance.now() + 50
  while (performance.now() < end);
  t.ok(timeOf([process.pid]).cpu - before > 5e6)
})

t.test('npm run bench: help, a wrong name, and a quick measurement with exit code 0', async (t) => {
  const bench = async (args: string[]) => {
    const run = new NodeProcess('bench/run.js', args)
    return { code: await run.exited, stdout: run.stdout, stderr: run.stderr }
  }
  t.match(await bench(['--help']), { code: 0, stdout: /--peers LIST/ })
  t.match(await bench(['--measure', 'speed']), { code: 1, stderr: /no such measure: speed/ })
  t.match(await bench(['--measure', 'bytes', '--quick']), { code: 0, stdout: /bytes with 1 notification/ })
})
