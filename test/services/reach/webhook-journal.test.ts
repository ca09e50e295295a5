import { request } from 'node:http'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { makeWebhookSecret } from '../../../services/reach/standard-webhooks.ts'
import { WebhookJournal } from '../../../services/reach/webhook-journal.ts'

const FALLBACK = JSON.stringify({ type: 'notification.fallback', timestamp: new Date().toISOString(), data: {} })

/** Sends a webhook as the library of Standard Webhooks signs it. Resolves with the status of the answer. */
async function send({ url, secrets }: WebhookJournal, id: string, { body = FALLBACK, headers = {} } = {}): Promise<number> {
  const now = new Date()
  const signature = new Webhook(secrets[0] as string).sign(id, now, body)
  const signed = { 'webhook-id': id, 'webhook-timestamp': String(Math.floor(now.getTime() / 1000)), 'webhook-signature': signature }
  return (await fetch(url, { method: 'POST', headers: { ...signed, ...headers }, body })).status
}

async function startJournal(t: Test, secrets?: string[]): Promise<WebhookJournal> {
  const journal = await WebhookJournal.start(secrets)
  t.teardown(() => journal.close())
  return journal
}

t.test('a journal has each call with its verdict and its attempt', async (t) => {
  const journal = await startJournal(t)
  t.equal(await send(journal, 'msg_1'), 204)
  t.equal(await send(journal, 'msg_2'), 204)
  t.equal(await send(journal, 'msg_1'), 204)
  t.equal(
    await send(journal, 'msg_3', {
      headers: { 'webhook-signature': new Webhook(makeWebhookSecret()).sign('msg_3', new Date(), FALLBACK) }
    }),
    401
  )
  t.equal((await fetch(journal.url)).status, 401)
  const entries = journal.after(0)
  t.match(entries, [
    { id: 'msg_1', attempt: 1, status: 204, refusal: '', body: FALLBACK },
    { id: 'msg_2', attempt: 1, status: 204, refusal: '' },
    { id: 'msg_1', attempt: 2, status: 204, refusal: '' },
    { id: 'msg_3', attempt: 1, status: 401, refusal: 'the signature is not of this secret' },
    { id: '', attempt: 1, status: 401, refusal: 'a webhook header is missing' }
  ])
  t.same(journal.after(entries[2]?.no ?? 0), entries.slice(3))
  const later = await startJournal(t)
  await send(later, 'msg_1')
  t.ok((later.after(0)[0]?.no ?? 0) > (entries.at(-1)?.no ?? 0), 'the numbers rise over restarts')
})

t.test('a failure is that of one fallback', async (t) => {
  const journal = await startJournal(t)
  journal.failNextFallback()
  t.equal(await send(journal, 'msg_1', { body: '{"type":"user.online"}' }), 204)
  t.equal(await send(journal, 'msg_2', { body: 'no JSON' }), 204)
  await journal.forge('alice')
  t.equal(await send(journal, 'msg_3'), 500)
  t.equal(await send(journal, 'msg_3'), 204)
})

t.test('a journal is of this machine, and does not grow', async (t) => {
  const journal = await startJournal(t)
  t.equal(await send(journal, 'msg_1', { headers: { origin: 'https://app.example' } }), 403, 'not for a page of another origin')
  t.equal(await send(journal, 'msg_1', { headers: { 'x-forwarded-for': '127.0.0.1' } }), 403, 'not through a proxy')
  t.same(journal.after(0), [])
  for (let no = 1; no <= 60; no++) await send(journal, `msg_${no}`, { body: 'x'.repeat(100_000) })
  const entries = journal.after(0)
  t.equal(entries.length, 50)
  t.equal(entries.at(-1)?.id, 'msg_60')
  t.ok(entries.every(({ body }) => body.length <= 65_536))
})

t.test('a caller that breaks off does no harm', async (t) => {
  const journal = await startJournal(t)
  const broken = request(journal.url, { method: 'POST', headers: { 'content-length': '100' } })
  broken.on('error', () => {})
  await new Promise((resolve) => broken.write('half', resolve))
  broken.destroy()
  t.equal(await send(journal, 'msg_1'), 204)
  t.equal(journal.after(0).length, 1)
})
