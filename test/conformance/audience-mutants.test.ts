import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { compileEdited } from '../chaos/mutants.ts'
import type { Edit } from '../chaos/mutations.ts'
import { audienceMutations } from '../chaos/mutations-audiences.ts'

const BUILD = join(import.meta.dirname, '..', '..')
const PARTS = ['services', 'test/conformance', 'test/fixtures']
const execute = promisify(execFile)

/** Runs the short examples of topics and broadcasts against a copy of the build with edits. Resolves with the names of those that failed. */
async function failing(t: Test, edits: Edit[], store: 'embedded' | 'redis'): Promise<string[]> {
  const folder = await mkdtemp(join(BUILD, 'edited-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await Promise.all(PARTS.map((part) => cp(join(BUILD, part), join(folder, part), { recursive: true })))
  await compileEdited([{ edits, out: '.' }], folder)
  const program = join(folder, 'test/conformance/broadcasting-alone.js')
  const env = { ...process.env, TAP_TIMEOUT: '120' }
  const run = execute(process.execPath, [program, store, 'short'], { env, maxBuffer: 2 ** 26 })
  const output = await run.catch((error: { stdout: string }) => error).then(({ stdout }) => stdout)
  return [...output.matchAll(/^ {4}not ok \d+ - (.*?)(?: # time.*)?$/gm)].map(([, name = '']) => name)
}

for (const store of ['embedded', 'redis'] as const) {
  t.test(`the examples of broadcasts hold for the ${store} store, and catch each defect in it`, { timeout: 300_000 }, async (t) => {
    t.same(await failing(t, [], store), [])
    for (const mutation of audienceMutations.filter((mutation) => mutation[store].length > 0)) {
      const names = await failing(t, mutation[store], store)
      t.ok(names.length > 0, `${mutation.name}: ${names.join('; ')}`)
    }
  })
}
