import { userHash } from '../users.ts'

/** Parameters whose values may be logged. Any other value may be a token, whose name the client percent-encoded or misspelled. */
const LOGGED_PARAMETERS = ['device_id', 'last_event_id', 'limit', 'state', 'cursor', 'revoke']

/** The name of a user in the path of a route. */
const USER_IN_PATH = /(?<=\/v1\/users\/)[^/]+/

/** Returns a URL for the log. Values that may be a token are replaced, and the name of a user by its hash: an erasure does not reach the log. */
export function redactUrl(url: string): string {
  const [path = '', ...query] = url.split('?')
  const redacted = path.replace(USER_IN_PATH, (name) => `[${userHash(decoded(name))}]`)
  if (query.length === 0) return redacted
  return `${redacted}?${query.join('?').split('&').map(redactParameter).join('&')}`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function redactParameter(parameter: string): string {
  const [name = '', value] = parameter.split('=', 2)
  if (LOGGED_PARAMETERS.includes(name)) return parameter
  return value === undefined || !/^[a-z_]{1,32}$/i.test(name) ? '[redacted]' : `${name}=[redacted]`
}
