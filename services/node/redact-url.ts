/** Parameters whose values may be logged. Any other value may be a token, whose name the client percent-encoded or misspelled. */
const LOGGED_PARAMETERS = ['device_id', 'last_event_id', 'limit', 'state', 'cursor', 'revoke']

/** Returns a URL for the log. Values that may be a token are replaced. */
export function redactUrl(url: string): string {
  const start = url.indexOf('?')
  if (start < 0) return url
  const parameters = url.slice(start + 1).split('&')
  return `${url.slice(0, start)}?${parameters.map(redactParameter).join('&')}`
}

function redactParameter(parameter: string): string {
  const [name = '', value] = parameter.split('=', 2)
  if (LOGGED_PARAMETERS.includes(name)) return parameter
  return value === undefined || !/^[a-z_]{1,32}$/i.test(name) ? '[redacted]' : `${name}=[redacted]`
}
