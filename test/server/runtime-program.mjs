// Publishes with the built package, in any runtime: <runtime> runtime-program.mjs <url of Belfry> <url of a way with faults> <API key>
// Prints what it saw as one line of JSON. test/server/runtimes.ts runs it, and says what each part must give.
import { AsyncLocalStorage } from 'node:async_hooks'
import { context, createContextKey, propagation, ROOT_CONTEXT } from '@opentelemetry/api'
import { Belfry, BelfryError, verifyWebhook } from '../../packages/server/dist/index.js'

const { Bun, Deno, process } = globalThis
const [url, faultyUrl, apiKey] = Deno?.args ?? process.argv.slice(2)
const runtime = Deno ? `deno ${Deno.version.deno}` : Bun ? `bun ${Bun.version}` : `node ${process.versions.node}`

const belfry = new Belfry(url, { apiKey })
const note = (title) => ({ type: 'test', title, data: { grüße: '✓' } })

const seen = { runtime }
const published = await belfry.notify('alice', note('hello'))
seen.status = published.status
await belfry.recall('alice', published.id)

const calls = Array.from({ length: 3000 }, (_, n) => belfry.notify(`user-${n % 30}`, note(`burst ${n}`)))
seen.burst = (await Promise.all(calls)).filter(({ status }) => status === 'accepted').length
seen.refused = await belfry.notify('alice', { ...note('wrong'), ttl: -1 }).catch((error) => error instanceof BelfryError && error.code)

const team = Array.from({ length: 1200 }, (_, n) => `member-${n}`)
seen.changed = await belfry.topics.add('team', team)
const members = []
for await (const member of belfry.topics.members('team')) members.push(member)
seen.members = members.length

async function ended(id) {
  for (;;) {
    const broadcast = await belfry.broadcasts.get(id)
    if (broadcast.status !== 'running') return broadcast
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const sent = await belfry.notify({ topic: 'team', except: ['member-7'] }, note('to the team'))
const { status, accepted } = await ended(sent.broadcast.id)
seen.broadcast = { status, accepted }
await belfry.broadcasts.cancel(sent.broadcast.id)
seen.cancelled = (await belfry.broadcasts.get(sent.broadcast.id)).status
seen.presence = (await belfry.presence(team)).filter(({ online }) => !online).length

const faulty = new Belfry(faultyUrl, { apiKey })
seen.retried = (await Promise.all(Array.from({ length: 50 }, (_, n) => faulty.notify('bob', note(`retried ${n}`))))).map(
  (one) => one.status
)

const PARENT = createContextKey('traceparent')
const storage = new AsyncLocalStorage()
context.setGlobalContextManager({
  active: () => storage.getStore() ?? ROOT_CONTEXT,
  with: (active, call, self, ...args) => storage.run(active, () => call.apply(self, args)),
  bind: (_active, target) => target,
  enable() {
    return this
  },
  disable() {
    return this
  }
})
propagation.setGlobalPropagator({
  inject: (active, carrier, setter) => setter.set(carrier, 'traceparent', active.getValue(PARENT)),
  extract: (active) => active,
  fields: () => ['traceparent']
})
const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
await context.with(ROOT_CONTEXT.setValue(PARENT, traceparent), async () => {
  await Promise.resolve()
  await faulty.notify('carol', note('traced'))
})

const secret = `whsec_${btoa('a secret of the tests, long enough')}`
const [id, timestamp, body] = [
  'msg_1',
  String(Math.floor(Date.now() / 1000)),
  JSON.stringify({ type: 'user.online', timestamp: '', data: {} })
]
const algorithm = { name: 'HMAC', hash: 'SHA-256' }
const key = await crypto.subtle.importKey('raw', new TextEncoder().encode(atob(secret.slice(6))), algorithm, false, ['sign'])
const digest = await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(`${id}.${timestamp}.${body}`))
const signature = `v1,${btoa(String.fromCharCode(...new Uint8Array(digest)))}`
const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature }
seen.webhook = (await verifyWebhook(headers, body, secret)).type
seen.forged = await verifyWebhook(headers, `${body} `, secret).catch(({ code }) => code)

await Promise.all([belfry.close(), faulty.close()])
console.log(JSON.stringify(seen))
