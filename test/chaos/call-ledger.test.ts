import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { compileEdited } from './mutants.ts'
import type { Edit } from './mutations.ts'
import { leaseNotWritten, unsentCounts, unsentEnds } from './mutations-outbox.ts'

const BUILD = join(import.meta.dirname, '..', '..')
const PARTS = ['services', 'test/conformance', 'test/fixtures', 'test/chaos']
const execute = promisify(execFile)

/** Kills processes whose store has defects. Resolves with the faults of their calls. */
async function faultsWith(t: Test, edits: Edit[]): Promise<string[]> {
  const folder = await mkdtemp(join(BUILD, 'edited-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await Promise.all(PARTS.map((part) => cp(join(BUILD, part), join(folder, part), { recursive: true })))
  await compileEdited([{ edits, out: '.' }], folder)
  const { stdout } = await execute(process.execPath, [join(folder, 'test/chaos/calls-alone.js')], { maxBuffer: 2 ** 26 })
  return JSON.parse(stdout)
}

t.test('a run of killed processes finds defects of leases, and of calls that are given back', { timeout: 120_000 }, async (t) => {
  const defects = [
    [unsentCounts, /has the attempt 2 instead of 1/],
    [unsentEnds, /was given back and not leased again/],
    [leaseNotWritten, /is leased twice at one time/]
  ] as const
  const found = await Promise.all(defects.map(([{ machine }]) => faultsWith(t, machine)))
  for (const [index, [{ name }, fault]] of defects.entries()) {
    const faults = found[index] as string[]
    t.ok(
      faults.some((text) => fault.test(text)),
      `${name}: ${faults.length} faults, ${faults[0]}`
    )
  }
})
