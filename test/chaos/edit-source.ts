import type { Edit } from './mutations.ts'

interface Token {
  text: string
  start: number
  end: number
}

const TOKEN = /[\w$#]+|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|\S/.source
const TOKENS = {
  ts: new RegExp(`//.*|/\\*[\\s\\S]*?\\*/|${TOKEN}`, 'g'),
  lua: new RegExp(`--.*|${TOKEN}`, 'g')
}
const COMMENT = { ts: /^\/[/*]/, lua: /^--/ }

type Language = keyof typeof TOKENS

/** Replaces the anchors of the edits in the text of their file. Throws when an anchor is not there exactly once. */
export function editSource(text: string, edits: Pick<Edit, 'file' | 'find' | 'put'>[]): string {
  let edited = text
  for (const { file, find, put } of edits) {
    const language = file.endsWith('.lua') ? 'lua' : 'ts'
    const matches = matchesOf(tokensOf(edited, language), tokensOf(find, language))
    const [match] = matches
    if (match === undefined || matches.length !== 1) throw new Error(`the anchor is ${matches.length} times in ${file}: ${find}`)
    edited = edited.slice(0, match.start) + put + edited.slice(match.end)
  }
  return edited
}

/** Ranges of the text in which the tokens of the anchor follow each other. */
function matchesOf(tokens: Token[], anchor: Token[]): { start: number; end: number }[] {
  const matches: { start: number; end: number }[] = []
  for (let at = 0; anchor.length > 0 && at + anchor.length <= tokens.length; at++) {
    const [first, last] = [tokens[at] as Token, tokens[at + anchor.length - 1] as Token]
    if (anchor.every(({ text }, index) => text === tokens[at + index]?.text)) matches.push({ start: first.start, end: last.end })
  }
  return matches
}

/** Code without what a formatter decides: comments, semicolons and trailing commas are left out, strings have single quotes. */
function tokensOf(code: string, language: Language): Token[] {
  const tokens: Token[] = []
  for (const { 0: found, index } of code.matchAll(TOKENS[language])) {
    if (COMMENT[language].test(found) || found === ';') continue
    if (/^[)\]}]$/.test(found) && tokens.at(-1)?.text === ',') tokens.pop()
    tokens.push({ text: found.replace(/^"(.*)"$/, "'$1'"), start: index, end: index + found.length })
  }
  return tokens
}
