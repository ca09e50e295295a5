/** Parameters whose values may be logged. No other may: a token is one too under a name that is percent-encoded, or mistaken. */
const LOGGED_PARAMETERS = ['device_id', 'last_event_id', 'limit', 'state', 'cursor', 'revoke']

/** A URL fit for a log: what may be a token is gone. */
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
