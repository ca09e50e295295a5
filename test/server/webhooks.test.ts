import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { Belfry, BelfryError, verifyWebhook } from '../../packages/server/src/index.ts'
import { webhookBody, webhookHeaders, webhookKey } from '../../services/reach/standard-webhooks.ts'

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
const OTHER = `whsec_${Buffer.alloc(24, 2).toString('base64')}`
const keys = (...secrets: string[]): Buffer[] => secrets.map((secret) => webhookKey(secret) as Buffer)
const body = webhookBody('notification.answered', 1_754_000_000_000, {
  user: 'älice',
  id: 'qk3mTnHc0Vd5Yx1LbR2w',
  action: 'approve',
  answeredAt: 1_754_000_000_000,
  deviceId: 'phone'
})
const headers = (now = Date.now()): Record<string, string> => webhookHeaders(keys(SECRET), 'msg_1', body, now)

const code = 'BELFRY_SDK_WEBHOOK'

t.test('a webhook of the service is verified, and typed by its event', async (t) => {
  const event = await verifyWebhook(headers(), body, SECRET)
  t.same(event, { id: 'msg_1', ...JSON.parse(body) })
  if (event.type === 'notification.answered') t.equal(event.data.action, 'approve')
  const raw = new TextEncoder().encode(body)
  t.same(await verifyWebhook(new Headers(headers()), raw, SECRET), event, 'standard headers, bytes')
  t.same(await verifyWebhook({ 'Webhook-Id': ['msg_1'], ...capitals(headers()) }, Buffer.from(body), SECRET), event)
  const belfry = new Belfry('http://localhost', { apiKey: 'k' })
  t.same(await belfry.verifyWebhook(headers(), body, SECRET), event)
})

t.test('one of two secrets is enough, on either side, while they rotate', async (t) => {
  await verifyWebhook(headers(), body, [OTHER, SECRET])
  await verifyWebhook(headers(), body, `${OTHER}, ${SECRET}`)
  await verifyWebhook(webhookHeaders(keys(OTHER, SECRET), 'msg_1', body, Date.now()), body, SECRET)
  await t.rejects(verifyWebhook(headers(), body, OTHER), { code, status: 400 })
})

t.test('a webhook that is forged, old or incomplete is refused', async (t) => {
  const good = headers()
  const refused = async (given: Record<string, string | undefined>, text = body, options = {}): Promise<void> => {
    const error = await verifyWebhook(given, text, SECRET, options).catch((reason: unknown) => reason)
    t.ok(error instanceof BelfryError)
    t.match(error, { code, status: 400, temporary: false })
  }
  await refused(good, body.replace('approve', 'reject'))
  await refused({ ...good, 'webhook-id': 'msg_2' })
  await refused({ ...good, 'webhook-timestamp': String(Number(good['webhook-timestamp']) + 1) })
  for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) await refused({ ...good, [name]: undefined })
  for (const signature of ['v1,', 'v1,!!', 'v1a,abc', 'v1', `${good['webhook-signature']}x`])
    await refused({ ...good, 'webhook-signature': signature })
  for (const offset of [-301_000, 301_000]) await refused(headers(Date.now() + offset))
  await refused({ ...good, 'webhook-timestamp': 'today' })
  await refused(headers(Date.now() - 20_000), body, { toleranceSeconds: 10 })
  await verifyWebhook(headers(Date.now() - 295_000), body, SECRET)
  await verifyWebhook({ ...good, 'webhook-signature': `v1,AAAA v2,x ${good['webhook-signature']}` }, body, SECRET)
})

t.test('a secret that is not one is a TypeError', async (t) => {
  for (const secret of ['', 'whsec_', 'whsec_!', 'plain', [SECRET, '']]) await t.rejects(verifyWebhook(headers(), body, secret), TypeError)
})

t.test('a secret that is not set is said to be no secret, whatever the webhook is', async (t) => {
  for (const given of [headers(), {}])
    await t.rejects(verifyWebhook(given, body, undefined as never), { name: 'TypeError', message: /whsec_/ })
})

t.test('the reference library and this one agree', async (t) => {
  const at = new Date()
  const signature = new Webhook(SECRET).sign('msg_9', at, body)
  const given = { 'webhook-id': 'msg_9', 'webhook-timestamp': String(Math.floor(at.getTime() / 1000)), 'webhook-signature': signature }
  t.match(await verifyWebhook(given, body, SECRET), { id: 'msg_9' })
})

function capitals(from: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(from).map(([name, value]) => [name.replace(/(^|-)w?./g, (part) => part.toUpperCase()), value]))
}
