import { escapeHtml } from './markdown.ts'
import { pageShell } from './page-shell.ts'

/** The part of a JSON schema that the page shows. */
interface Schema {
  type?: string
  const?: unknown
  enum?: readonly unknown[]
  description?: string
  properties?: Record<string, Schema>
  required?: readonly string[]
  items?: Schema
  anyOf?: readonly Schema[]
}

interface Message {
  name: string
  summary?: string
  payload: Schema
  examples: { payload: unknown }[]
}

/** The part of the AsyncAPI document that the page shows. */
export interface SocketDocument {
  info: { version: string; description: string }
  channels: { socket: { address: string; bindings: { ws: { query: Schema } } } }
  operations: Record<'toClient' | 'fromClient', { messages: { $ref: string }[] }>
  components: {
    messages: Record<string, Message>
    securitySchemes: Record<string, { description: string }>
  }
  'x-close-codes': { code: number; reason: string; verdict: string }[]
}

/**
 * Returns the page that shows an AsyncAPI document: the messages of both directions with fields and examples, and the close codes. The page
 * has no script. Its links are relative to /docs/socket.
 *
 * @param hasDemo true adds a link to the demo
 */
export function socketPage(document: SocketDocument, hasDemo: boolean): string {
  const { info, channels, operations, components } = document
  const { address, bindings } = channels.socket
  const named = ({ messages }: { messages: { $ref: string }[] }): Message[] =>
    messages.map(({ $ref }) => components.messages[$ref.split('/').at(-1) ?? ''] as Message)
  const sent = named(operations.toClient)
  const received = named(operations.fromClient)
  const body = `<main>
<h1>The WebSocket</h1>
<p class="lead">${escapeHtml(info.description)} Version ${escapeHtml(info.version)}.</p>
<nav class="contents" aria-label="Contents">
<a href="#connect">Connect</a>
${contents('Server to client', 'down', sent)}
${contents('Client to server', 'up', received)}
<a href="#close-codes">Close codes</a>
</nav>
<section id="connect" aria-labelledby="connect-title">
<h2 id="connect-title">Connect</h2>
<pre tabindex="0"><code>GET ${escapeHtml(address)}</code></pre>
<h3>Query</h3>
${fields(bindings.ws.query)}
<h3>Token</h3>
<p>The token of the user, in the first of these places that has one:</p>
<ol>
${Object.values(components.securitySchemes)
  .map(({ description }) => `<li>${escapeHtml(description)}</li>`)
  .join('\n')}
</ol>
</section>
<h2 id="down">Server to client</h2>
${sent.map(messageSection).join('\n')}
<h2 id="up">Client to server</h2>
${received.map(messageSection).join('\n')}
<section aria-labelledby="close-codes">
<h2 id="close-codes">Close codes</h2>
<dl class="fields">
${document['x-close-codes']
  .map(({ code, reason, verdict }) => `<div><dt><code>${code}</code></dt><dd>${escapeHtml(reason)}: ${escapeHtml(verdict)}</dd></div>`)
  .join('\n')}
</dl>
</section>
</main>`
  return pageShell({
    title: 'Belfry WebSocket',
    up: '',
    sheets: ['pages/theme.css', 'pages/docs.css'],
    current: 'socket',
    source: ['asyncapi.json', 'AsyncAPI'],
    hasDemo,
    body
  })
}

function contents(title: string, anchor: string, messages: Message[]): string {
  const links = messages.map(({ name }) => `<a href="#${name}"><code>${escapeHtml(name)}</code></a>`)
  return `<a href="#${anchor}">${title}</a><span>${links.join(' ')}</span>`
}

function messageSection({ name, summary = '', payload, examples }: Message): string {
  const shown = examples.map(({ payload }) => `<pre tabindex="0"><code>${escapeHtml(JSON.stringify(payload, null, 2))}</code></pre>`)
  return `<section id="${name}" aria-labelledby="${name}-title">
<h3 id="${name}-title"><code>${escapeHtml(name)}</code></h3>
<p>${escapeHtml(summary)}.</p>
<div class="pair">${fields(payload)}<div>${shown.join('\n')}</div></div>
</section>`
}

/** Returns the list of the fields of an object. The fields of objects inside are named with their path. */
function fields(schema: Schema): string {
  const rows = flat(schema, '').map(
    ({ name, optional, schema }) =>
      `<div><dt><code>${escapeHtml(name)}</code> <span>${escapeHtml(typeText(schema))}${optional ? ', optional' : ''}</span></dt><dd>${escapeHtml(schema.description ?? '')}</dd></div>`
  )
  return `<dl class="fields">${rows.join('\n')}</dl>`
}

interface Field {
  name: string
  optional: boolean
  schema: Schema
}

function flat({ properties = {}, required = [] }: Schema, path: string): Field[] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const name = path + key
    const field = { name, optional: !required.includes(key), schema }
    if (schema.items?.properties !== undefined) return [field, ...flat(schema.items, `${name}[].`)]
    return schema.properties === undefined ? [field] : [field, ...flat(schema, `${name}.`)]
  })
}

function typeText({ type, const: only, enum: values, items, anyOf }: Schema): string {
  if (only !== undefined) return JSON.stringify(only)
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(' | ')
  if (anyOf !== undefined) return anyOf.map(typeText).join(' | ')
  if (items !== undefined) return `array of ${typeText(items)}`
  return type ?? 'any JSON'
}
