// Runs tap, holds coverage to its floor, and ends with one plain line: N passed, N failed, N skipped.
// With file names as arguments, runs only those and leaves coverage alone.
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'

const COVERAGE_FLOOR = { lines: 95, branches: 95 }

const files = process.argv.slice(2)
const child = spawn(`tap --reporter=tap ${files.length > 0 ? '--disable-coverage ' : ''}${files.join(' ')}`, {
  stdio: ['ignore', 'pipe', 'inherit'],
  shell: true
})
let tail = ''
child.stdout.on('data', (data) => {
  process.stdout.write(data)
  tail = (tail + data).slice(-65536)
})
child.on('close', async (code) => {
  const totals = [...tail.matchAll(/^# \{ total: (\d+), pass: (\d+)(?:, fail: (\d+))?(?:, todo: (\d+))?(?:, skip: (\d+))? \}$/gm)].at(-1)
  const [, , pass = '0', fail = '0', todo = '0', skip = '0'] = totals ?? []
  const covered = files.length > 0 || (await coverageHolds())
  const failed = Number(fail) + (covered ? 0 : 1)
  console.log(`${pass} passed, ${failed} failed, ${Number(skip) + Number(todo)} skipped`)
  process.exit(code !== 0 || failed > 0 || Number(pass) === 0 ? 1 : 0)
})

async function coverageHolds() {
  const { total } = JSON.parse(await readFile('.tap/report/coverage-summary.json', 'utf8'))
  let holds = true
  for (const [measure, floor] of Object.entries(COVERAGE_FLOOR)) {
    const { pct } = total[measure]
    console.log(`# coverage: ${pct} % of ${measure} (at least ${floor})`)
    if (!(pct >= floor)) holds = false
  }
  return holds
}
