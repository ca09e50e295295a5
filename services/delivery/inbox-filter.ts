import { errors } from '../errors.ts'
import { STATES, type State } from '../protocol/index.ts'

const MAX_PATTERNS = 10
/** A type, or a prefix of types that ends in `*`. */
const PATTERN = /^(?:[^*]{1,128}|[^*]{0,128}\*)$/su

/**
 * Reads a list of states, separated by commas. `unread` includes `seen`, as the unread count does.
 *
 * @throws InvalidRequest
 */
export function listedStates(text: string): State[] {
  const states = text.split(',')
  if (!states.every(isState)) throw new errors.InvalidRequest(`state must be a list of ${STATES.join(', ')}, separated by commas`)
  return states.includes('unread') ? [...states, 'seen'] : states
}

function isState(text: string): text is State {
  return (STATES as readonly string[]).includes(text)
}

/**
 * Reads a list of patterns of types, separated by commas.
 *
 * @throws InvalidRequest
 */
export function typePatterns(text: string): string[] {
  const patterns = text.split(',')
  if (patterns.length > MAX_PATTERNS || !patterns.every((pattern) => PATTERN.test(pattern))) {
    throw new errors.InvalidRequest(
      `type must be a list of up to ${MAX_PATTERNS} types or prefixes, separated by commas; a prefix ends in *, as in sync.*`
    )
  }
  return patterns
}
