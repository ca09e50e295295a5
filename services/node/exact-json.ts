import { type BelfryError, errors } from '../errors.ts'

/** A part of a JSON text that Belfry would not return as it was sent. */
export interface JsonProblem {
  /** JSON pointer (RFC 6901) of the part; '' for the whole text. */
  pointer: string
  detail: string
}

/** Largest number of problems listed for one text. A text with more is refused as a whole. */
const MAX_PROBLEMS = 1000

/** Largest number of problems named in one answer. */
const SHOWN_PROBLEMS = 20

/** Significant digits that distinguish any two doubles: a literal with at most this many is the text of one double. */
const DOUBLE_DIGITS = 17

/** Largest argument of `Number.prototype.toPrecision`. */
const MAX_PRECISION = 100

/**
 * Matches every number that may not be exact: with a minus before a zero, with 16 digits or more, with an exponent. It also matches some that
 * are exact, and some text inside strings: `findProblems` decides.
 */
const MAYBE_INEXACT = /[[:,\s](?:-0|-?[\d.]{16}|-?[\d.]+[eE])/

const NUMBER = /-?[\d.eE+-]+/y

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a

/**
 * Parses JSON and lists the parts that JavaScript's numbers and objects cannot hold: numbers that would be rounded, -0, numbers that are not
 * finite, names that occur twice in one object, and names that reach a prototype.
 *
 * @throws SyntaxError if the text is not JSON
 */
export function parseExactly(text: string): { value: unknown; problems: JsonProblem[] } {
  const value: unknown = JSON.parse(text)
  const isExact = countMembers(text) === countNames(value) && !MAYBE_INEXACT.test(text)
  return { value, problems: isExact ? [] : findProblems(text) }
}

/** Returns the 400 that names each problem by its pointer. */
export function refusalOf(problems: JsonProblem[]): BelfryError {
  const shown = problems.slice(0, SHOWN_PROBLEMS)
  const detail = shown.map(({ pointer, detail: reason }) => `${pointer || 'the body'} ${reason}`).join(', ')
  const validation = shown.map(({ pointer, detail: message }) => ({ instancePath: pointer, message }))
  return Object.assign(new errors.InvalidRequest(detail), { validation })
}

/** Returns the number of members of all objects in a JSON text: the colons outside strings. */
function countMembers(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (code === COLON) count += 1
  }
  return count
}

/** Returns the number of names of all objects in a parsed value, or -1 if a name reaches a prototype. */
function countNames(value: unknown): number {
  let count = 0
  const open: unknown[] = [value]
  while (open.length > 0) {
    const next = open.pop()
    if (typeof next !== 'object' || next === null) continue
    if (Array.isArray(next)) {
      for (const item of next) if (typeof item === 'object') open.push(item)
      continue
    }
    for (const name of Object.keys(next)) {
      const member = (next as Record<string, unknown>)[name]
      count += 1
      if (name === '__proto__' || (name === 'constructor' && hasPrototype(member))) return -1
      if (typeof member === 'object') open.push(member)
    }
  }
  return count
}

function hasPrototype(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')
}

/** Returns the index of the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0
  while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes += 1
  return backslashes % 2 === 1
}

/** An object or array that the scan is inside of, and its place there. */
interface Container {
  /** Names before this place; undefined for an array. */
  names: Set<string> | undefined
  name: string
  awaitsName: boolean
  index: number
}

/** Scans a text that is valid JSON. */
function findProblems(text: string): JsonProblem[] {
  const problems: JsonProblem[] = []
  const open: Container[] = []
  const add = (detail: string): void => {
    problems.push({ pointer: open.map(pointerPart).join(''), detail })
  }
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string
    const container = open.at(-1)
    if (character === '{') open.push({ names: new Set(), name: '', awaitsName: true, index: 0 })
    else if (character === '[') open.push({ names: undefined, name: '', awaitsName: false, index: 0 })
    else if (character === '}' || character === ']') open.pop()
    else if (character === ',' && container !== undefined) {
      container.index += 1
      container.awaitsName = container.names !== undefined
    } else if (character === '"') {
      const end = endOfString(text, at)
      if (container?.awaitsName === true) {
        container.awaitsName = false
        container.name = JSON.parse(text.slice(at, end + 1)) as string
        const problem = problemOfName(container, open.at(-2))
        if (problem !== undefined) add(problem)
      }
      at = end
    } else if (character === '-' || (character >= '0' && character <= '9')) {
      NUMBER.lastIndex = at
      const literal = NUMBER.exec(text)?.[0] as string
      const problem = problemOfNumber(literal)
      if (problem !== undefined) add(problem)
      at += literal.length - 1
    }
    if (problems.length > MAX_PROBLEMS) return [{ pointer: '', detail: `has more than ${MAX_PROBLEMS} values that cannot be kept` }]
  }
  return problems
}

function pointerPart({ names, name, index }: Container): string {
  return `/${names === undefined ? index : name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

function problemOfName({ names, name }: Container, parent: Container | undefined): string | undefined {
  if (names?.has(name) === true) return 'occurs twice in one object'
  names?.add(name)
  if (name === '__proto__') return 'has a name that is not taken: __proto__ reaches a prototype'
  if (name === 'prototype' && parent?.names !== undefined && parent.name === 'constructor')
    return 'has a name that is not taken: constructor.prototype reaches a prototype'
  return undefined
}

/** Returns the reason why a double cannot hold a number literal exactly, or undefined if it can. */
function problemOfNumber(literal: string): string | undefined {
  const value = Number(literal)
  if (!Number.isFinite(value)) return 'is a number too large for a double'
  const digits = significantDigits(literal)
  if (value === 0) {
    if (digits !== '') return 'is a number too small for a double'
    return literal.startsWith('-') ? 'is -0, which cannot be kept: send 0' : undefined
  }
  const isInteger = !/[.eE]/.test(literal)
  if (isInteger && !Number.isSafeInteger(value)) return 'is an integer beyond 2^53 - 1, which would be rounded: send it as a string'
  const isShort = digits.length <= DOUBLE_DIGITS && Math.abs(value) <= Number.MAX_SAFE_INTEGER
  if (isInteger || isShort || isTextOf(value, literal, digits.length)) return undefined
  return 'is a number with more digits than a double keeps: send it as a string'
}

/** Returns true if a literal is the exact value of the double, written to any number of digits. */
function isTextOf(value: number, literal: string, digits: number): boolean {
  const wanted = decimal(literal)
  return wanted === decimal(String(value)) || (digits <= MAX_PRECISION && wanted === decimal(value.toPrecision(digits)))
}

function significantDigits(literal: string): string {
  const [mantissa = ''] = literal.split(/[eE]/, 1)
  return mantissa.replace(/[-.]/g, '').replace(/^0+|0+$/g, '')
}

/** Returns a number literal in one form: sign, digits without zeros around them, and the exponent of the first digit. */
function decimal(literal: string): string {
  const [mantissa = '', exponent = '0'] = literal.split(/[eE]/)
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const all = whole + fraction
  const leading = all.length - all.replace(/^0+/, '').length
  return `${literal.startsWith('-') ? '-' : ''}${significantDigits(literal)}e${Number(exponent) + whole.length - leading}`
}
