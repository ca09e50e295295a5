// Runs tap, checks that coverage reaches its floor, and prints as its last line: N passed, N failed, N skipped.
// With file names as arguments, runs only those files, without coverage.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'

const COVERAGE_FLOOR = { lines: 95, branches: 95 }
/** Failures are repeated below the coverage table, where a log that is cut at its start still shows them. */
const FAILURES_SHOWN = 12
const LINES_PER_FAILURE = 24
const SHIPPED = ['cli', 'plugins', 'routes', 'services', 'packages/client/src', 'packages/server/src']
/** Files whose tests run in Chromium, where coverage is not measured. */
const IN_BROWSERS = /^packages\/client\/src\/(bell\/|(feed|push|push-browser|push-record|react|sw)\.ts$)/

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
const failures = []
createInterface({ input: child.stdout }).on('line', (line) => {
  const last = failures.at(-1)
  if (/^\s*not ok /.test(line) && !/ # (SKIP|TODO)/i.test(line)) failures.push([line])
  else if (last !== undefined && last.length < LINES_PER_FAILURE && !/^\s*ok /.test(line)) last.push(line)
})
child.on('close', async (code) => {
  const totals = [...tail.matchAll(/^# \{ total: (\d+), pass: (\d+)(?:, fail: (\d+))?(?:, todo: (\d+))?(?:, skip: (\d+))? \}$/gm)].at(-1)
  const [, , pass = '0', fail = '0', todo = '0', skip = '0'] = totals ?? []
  const covered = files.length > 0 || (await coverageHolds())
  const failed = Number(fail) + (covered ? 0 : 1)
  if (failures.length > 0) console.log(`# failures, again:\n${failures.slice(0, FAILURES_SHOWN).flat().join('\n')}`)
  console.log(`${pass} passed, ${failed} failed, ${Number(skip) + Number(todo)} skipped`)
  process.exit(code !== 0 || failed > 0 || Number(pass) === 0 ? 1 : 0)
})

/** Checks the coverage of the files that ship, not of the tests and the benchmark. A file that no test loads counts as not covered. */
async function coverageHolds() {
  const summary = JSON.parse(await readFile('.tap/report/coverage-summary.json', 'utf8'))
  const files = Object.fromEntries(Object.entries(summary).map(([path, counts]) => [relative('.', path), counts]))
  const shipped = shippedFiles()
  const unseen = []
  for (const file of shipped) if (files[file] === undefined && (await runs(file))) unseen.push(file)
  console.log(
    `# coverage: of ${shipped.length} files that ship; in a browser only: ${unseen.filter((file) => IN_BROWSERS.test(file)).join(' ')}`
  )
  const never = unseen.filter((file) => !IN_BROWSERS.test(file))
  if (never.length > 0) console.log(`# coverage: no test loads ${never.join(' ')}`)
  let holds = never.length === 0
  for (const [measure, floor] of Object.entries(COVERAGE_FLOOR)) {
    const counts = shipped.flatMap((file) => files[file]?.[measure] ?? [])
    const sum = (what) => counts.reduce((total, count) => total + count[what], 0)
    const percent = (100 * sum('covered')) / sum('total')
    console.log(`# coverage: ${percent.toFixed(2)} % of ${measure} (at least ${floor})`)
    if (!(percent >= floor)) holds = false
  }
  return holds
}

function shippedFiles() {
  const inside = SHIPPED.flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)))
  return [...readdirSync('.'), ...inside].filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
}

/** Returns true if the file has code besides types. */
async function runs(file) {
  const code = await readFile(join('build', file.replace(/\.ts$/, '.js')), 'utf8').catch(() => 'not compiled')
  return code.replace(/\/\*[\s\S]*?\*\/|^\/\/.*$|^export \{\};?$/gm, '').trim() !== ''
}
