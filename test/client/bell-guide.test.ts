import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'

const FOLDER = 'packages/client/src/bell'

/** Returns the names in backquotes, in order. */
const named = (text: string): string[] => [...new Set([...text.matchAll(/`([^`\s]+)`/g)].map(([, name = '']) => name))].toSorted()

t.test('the guide of the bell has the parts, events, texts, slots, attributes and custom properties of the code', async (t) => {
  const guide = await readFile('docs/guides/bell.md', 'utf8')
  const section = (title: string): string => guide.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? ''
  const files = (await readdir(FOLDER)).map((name) => readFile(`${FOLDER}/${name}`, 'utf8'))
  const code = (await Promise.all(files)).join('\n')
  const all = (pattern: RegExp): string[] => [...code.matchAll(pattern)].map(([, name = '']) => name)

  const parts = new Set([...all(/\bpart: '([\w-]+)'/g), ...all(/'part', unread \? 'item ([\w-]+)'/g)])
  // A button without a part of its own has its class as its part.
  for (const [, name = '', rest = ''] of code.matchAll(/\bbutton\('([\w-]+)',(.*)/g))
    if (['more', 'newer', 'tab'].includes(name) && rest) parts.add(name)
  parts.add('item')
  t.same(named(section('Colours and styles').split('there are parts:')[1] ?? ''), [...parts].toSorted())
  t.same(
    named(section('Colours and styles')).filter((name) => name.startsWith('--belfry-')),
    [...new Set(all(/var\((--belfry-[\w-]+)/g))].toSorted()
  )
  t.same(
    named(section('Events')).filter((name) => name.startsWith('belfry-')),
    [...new Set(all(/^ {2}'(belfry-\w+)': CustomEvent/gm))].toSorted()
  )
  const messages = /export interface BellMessages \{(.*?)\n\}/s.exec(code)?.[1] ?? ''
  t.same(
    named((section('Texts and languages').split('The texts:')[1] ?? '').split('\n\nIn a')[0] ?? ''),
    [...messages.matchAll(/^ {2}(\w+):/gm)].map(([, name = '']) => name).toSorted()
  )
  const slots = [...new Set([...all(/h\('slot', \{ name: '(\w+)'/g), ...all(/template\[slot="(\w+)"\]/g)])]
  t.same([...section('Slots').matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name).toSorted(), slots.toSorted())
  const attributes = [...section('Attributes').matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, names = '']) => named(names))
  const observed = /observedAttributes = \[(.*?)\]/.exec(code)?.[1]?.match(/[\w-]+/g) ?? []
  t.same(attributes.toSorted(), [...observed, 'theme', 'placement', 'toasts'].toSorted())
})
