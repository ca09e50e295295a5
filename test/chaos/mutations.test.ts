import { access, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { editSource } from './edit-source.ts'
import { compileEdited } from './mutants.ts'
import { type Edit, mutations } from './mutations.ts'

const BUILD = join(import.meta.dirname, '..', '..')

t.test('every edit of a mutant applies to its source, compiles, and changes the code', async (t) => {
  for (const { name, edits } of mutations) {
    for (const { file, find, put } of edits) {
      const text = await readFile(join(BUILD, '..', file), 'utf8')
      t.doesNotThrow(() => editSource(text, [{ file, find, put }]), name)
    }
  }
  if (!t.passing()) return
  const folder = await mkdtemp(join(BUILD, 'edited-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await compileEdited(
    mutations.map(({ edits }, index) => ({ edits, out: String(index + 1) })),
    folder
  )
  for (const [index, { name, edits }] of mutations.entries()) {
    for (const file of new Set(edits.map(({ file }) => file))) {
      const compiled = file.replace(/\.ts$/, '.js')
      const [edited, built] = await Promise.all([join(folder, String(index + 1)), BUILD].map((at) => readFile(join(at, compiled), 'utf8')))
      t.not(edited, built, `${name}: ${file}`)
    }
  }
})

t.test('a source without edits compiles to what the build has', async (t) => {
  const folder = await mkdtemp(join(BUILD, 'edited-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = 'services/connection/connection.ts'
  await compileEdited([{ edits: [{ file, find: 'export class Connection', put: 'export class Connection' }], out: '.' }], folder)
  const [edited, built] = await Promise.all([folder, BUILD].map((at) => readFile(join(at, 'services/connection/connection.js'), 'utf8')))
  t.equal(edited, built)
})

t.test('an edit whose anchor is missing or ambiguous is refused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'belfry-edited-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const compile = (find: string, put = ''): Promise<void> =>
    compileEdited([{ edits: [{ file: 'server.ts', find, put }], out: '.' }], folder)
  await t.rejects(compile('not there'), { message: /the anchor is 0 times in server.ts/ })
  await t.rejects(compile('import'), { message: /the anchor is \d+ times in server.ts/ })
  await t.rejects(compile(''), { message: /the anchor is 0 times in server.ts/ })
  await t.rejects(access(join(folder, 'server.js')), { code: 'ENOENT' })
  await t.rejects(compileEdited([{ edits: [{ file: 'ids.ts', find: 'x', put: '' }], out: '.' }], folder), { code: 'ENOENT' })
})

t.test('an edit that breaks the syntax is refused', async (t) => {
  const folder = await mkdtemp(join(BUILD, 'edited-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = 'services/connection/connection.ts'
  const edits = [{ file, find: 'export class Connection', put: 'export class class' }]
  await t.rejects(compileEdited([{ edits, out: '.' }], folder), { message: /does not compile/ })
})

t.test('an anchor is matched by its tokens: a formatter cannot break it', async (t) => {
  const edit = (text: string, find: string, file = 'x.ts'): string => editSource(text, [{ file, find, put: 'X' } satisfies Edit])
  t.equal(edit('if (a) {\n  b("c",\n    d,\n  );\n}', "if (a) { b('c', d) }"), 'X')
  t.equal(edit('before; f(a) // a comment\n  .then(b); after', 'f(a).then(b)'), 'before; X; after')
  t.equal(edit('a() /* the\n second */ b()', 'a() b()'), 'X')
  t.throws(() => edit('abc', 'ab'), 'part of a name is no match')
  t.throws(() => edit("f('a b')", "f('a  b')"), 'a string is one token')
  t.throws(() => edit('// f(a)', 'f(a)'), 'a comment is not code')
  t.equal(edit('local a = 1 -- one\nlocal b = a', 'local a = 1 local b', 'x.lua'), 'X = a')
})

t.test('each mutant has a unique name and rules that must catch it', async (t) => {
  t.ok(mutations.length >= 40)
  t.equal(new Set(mutations.map(({ name }) => name)).size, mutations.length)
  for (const { name, rules, edits } of mutations) t.ok(rules.length > 0 && edits.length > 0, name)
})
