import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { closeCodes, verdictOf } from '../services/protocol/index.ts'
import { until } from './fixtures/wait.ts'
import { call, connect, startService, type TestClient, type TestService } from './helper.ts'

type Json = Record<string, unknown>

interface AsyncApi {
  asyncapi: string
  info: { title: string; version: string }
  servers: Record<string, { host: string; protocol: string; security: { $ref: string }[] }>
  channels: Record<string, { address: string; messages: Record<string, { $ref: string }>; bindings: { ws: { query: Json } } }>
  operations: Record<string, { action: string; channel: { $ref: string }; messages: { $ref: string }[] }>
  components: {
    messages: Record<string, { name: string; payload: Json; examples: { payload: unknown }[] }>
    securitySchemes: Record<string, { type: string }>
  }
  'x-close-codes': { code: number; reason: string; verdict: string }[]
}

async function documentOf(service: TestService): Promise<AsyncApi> {
  return (await call(service, 'GET', '/docs/asyncapi.json', undefined, { token: '' })).body
}

/** Returns the target of a reference, or undefined. */
function follow(document: unknown, reference: string): unknown {
  return reference
    .slice(2)
    .split('/')
    .reduce<unknown>((value, key) => (value as Json | undefined)?.[key], document)
}

t.test('the document is AsyncAPI 3, and all references resolve', async (t) => {
  const service = await startService(t)
  const document = await documentOf(service)
  t.match(document, { asyncapi: '3.0.0', info: { title: String, version: /^\d+\.\d+\.\d+/ } })
  t.match(document.servers.here, { host: new URL(service.url).host, protocol: 'ws' })
  t.equal(document.channels.socket?.address, '/v1/ws')
  t.same(Object.keys(document.channels.socket?.bindings.ws.query.properties as Json), ['token', 'device_id', 'last_event_id'])
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = '']) => reference)
  t.ok(references.length > 30)
  for (const reference of references) t.not(follow(document, reference), undefined, reference)
  t.same(
    Object.values(document.operations).map(({ action }) => action),
    ['send', 'receive']
  )
  const operated = Object.values(document.operations).flatMap(({ messages }) => messages.map(({ $ref }) => $ref.split('/').at(-1)))
  t.same(operated.sort(), Object.keys(document.components.messages).sort(), 'every message goes one way')
  t.same(Object.keys(document.channels.socket?.messages ?? {}).sort(), operated)
  for (const { $ref } of document.servers.here?.security ?? []) {
    t.ok(['http', 'httpApiKey'].includes((follow(document, $ref) as { type: string }).type))
  }
  const codes = document['x-close-codes']
  for (const { code, reason } of Object.values(closeCodes)) {
    t.equal(codes.find((entry) => entry.code === code)?.reason, reason)
  }
  t.equal(codes.filter(({ verdict }) => verdict.startsWith('do not')).length, codes.filter(({ code }) => verdictOf(code) === 'stop').length)
})

t.test('every frame of a live session is as documented', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '2', RATE_LIMIT_WINDOW_MS: '250', WS_PING_INTERVAL_MS: '200' })
  const { components } = await documentOf(service)
  const ajv = new Ajv2020({ strict: false })
  const valid = Object.fromEntries(Object.entries(components.messages).map(([name, { payload }]) => [name, ajv.compile(payload)]))
  for (const [name, { examples }] of Object.entries(components.messages)) {
    t.ok(examples.length > 0, `${name} has an example`)
    for (const { payload } of examples) t.ok(valid[name]?.(payload), `an example of ${name}`, { payload, errors: valid[name]?.errors })
  }
  const clients: TestClient[] = []
  const sent = new Set<string>()
  const open = async (deviceId: string, lastEventId?: string): Promise<TestClient> => {
    const client = await connect(t, service, 'alice', { deviceId, ...(lastEventId === undefined ? {} : { lastEventId }) })
    clients.push(client)
    return client
  }
  const send = (client: TestClient, frame: { type: string }): void => {
    sent.add(frame.type)
    t.ok(valid[frame.type]?.(frame), frame.type)
    client.send(frame)
  }
  const publish = async (more: Json = {}): Promise<string> =>
    (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'One', ...more })).body.id

  const laptop = await open('laptop', 'no event id')
  await laptop.next('caughtUp')
  const id = await publish({ ref: '/r', data: { deep: [{ n: 1 }] } })
  const other = await publish()
  const { eventId } = await laptop.next('notification')
  send(laptop, { type: 'ack', eventId } as { type: string })
  send(laptop, { type: 'mark', ref: 1, ids: [id], state: 'read' } as { type: string })
  send(laptop, { type: 'mark', upTo: eventId, state: 'archived' } as { type: string })
  send(laptop, { type: 'refresh', ref: 2, token: 'no token' } as { type: string })
  await laptop.until(() => (laptop.all('error').length > 0 && laptop.all('state').length > 1) || undefined, 'answers')
  send(laptop, { type: 'pong', time: (await laptop.next('ping')).time } as { type: string })
  await call(service, 'DELETE', `/v1/users/alice/notifications/${other}`)
  await laptop.next('retract')
  const asked = await publish({ actions: [{ action: 'yes', title: 'Yes' }], collapseKey: 'k', urgency: 'low', ttl: 60 })
  await laptop.until(() => laptop.all('notification').find(({ notification }) => notification.id === asked), 'the question')
  send(laptop, { type: 'answer', ref: 3, id: asked, action: 'yes' } as { type: string })
  await laptop.next('answered')
  await publish({ halfLife: 0.001 })
  await Promise.all([publish(), publish(), publish({ halfLife: 0.001 }), publish({ halfLife: 0.001 }), publish({ halfLife: 0.001 })])
  await laptop.until(() => laptop.frames.find(({ type }) => type === 'digest'), 'a digest')

  const phone = await open('phone', eventId)
  await phone.next('caughtUp')
  const tablet = await open('tablet', 'earliest')
  await tablet.next('caughtUp')
  await until(() => laptop.all('ok').length > 0)
  await service.close()
  for (const client of clients) await client.whenClosed()

  const seen = new Set(sent)
  for (const frame of clients.flatMap(({ frames }) => frames)) {
    seen.add(frame.type)
    const validate = valid[frame.type]
    t.ok(validate?.(frame), frame.type, { frame, errors: validate?.errors })
  }
  t.same([...seen].sort(), Object.keys(valid).sort(), 'every frame there is was in it')
  t.ok(clients.some((client) => client.all('notification').some(({ replay, state }) => replay === true && state !== undefined)))
})
