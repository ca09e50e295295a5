import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { mutations } from './mutations.ts'

const BUILD = join(import.meta.dirname, '..', '..')

for (const { name, edits } of mutations) {
  t.test(`the edits of a mutant match the build: ${name}`, async (t) => {
    const texts = new Map<string, string>()
    for (const { file, find, put } of edits) {
      const text = texts.get(file) ?? readFileSync(join(BUILD, file), 'utf8')
      t.equal(text.split(find).length - 1, 1, `once in ${file}: ${find}`)
      t.not(put, find)
      texts.set(
        file,
        text.replace(find, () => put)
      )
    }
  })
}

t.test('each mutant has a name of its own and rules that must catch it', async (t) => {
  t.ok(mutations.length >= 40)
  t.equal(new Set(mutations.map(({ name }) => name)).size, mutations.length)
  for (const { name, rules, edits } of mutations) t.ok(rules.length > 0 && edits.length > 0, name)
})
