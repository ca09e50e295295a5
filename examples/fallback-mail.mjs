// Sends an e-mail for each notification that nobody has read in time: WEBHOOK_SECRET=whsec_... node examples/fallback-mail.mjs
import { spawnSync } from 'node:child_process'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

const { WEBHOOK_SECRET = '', PORT = '4000', SENDMAIL = '/usr/sbin/sendmail' } = process.env
if (!WEBHOOK_SECRET.startsWith('whsec_')) throw new Error('set WEBHOOK_SECRET to the secret of the service, whsec_...')
const key = Buffer.from(WEBHOOK_SECRET.replace('whsec_', ''), 'base64')
const addressOf = (user) => `${encodeURIComponent(user)}@example.com` // Look the address up in your database.
const handled = new Set() // An event may arrive more than once. Keep the ids in your database, too.

createServer(async (request, response) => {
  const body = await text(request).catch(() => '') // A caller may break off.
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signatures = '' } = request.headers
  const expected = Buffer.from(`v1,${createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64')}`)
  const given = signatures.split(' ').map((signature) => Buffer.from(signature))
  const isSigned = given.some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected))
  if (!isSigned || Math.abs(Date.now() / 1000 - time) > 300) return response.writeHead(401).end()
  const { type, data } = JSON.parse(body)
  const isNew = type === 'notification.fallback' && !handled.has(id)
  if (isNew && !send(addressOf(data.user), data.notification)) return response.writeHead(503).end() // Belfry sends it again.
  handled.add(id)
  response.writeHead(204).end()
}).listen(Number(PORT), '127.0.0.1')

function send(address, { title, ref = '' }) {
  const subject = `=?UTF-8?B?${Buffer.from(title.slice(0, 40)).toString('base64')}?=` // Encoded: a title may contain line breaks.
  const message = `To: ${address}\nSubject: ${subject}\nContent-Type: text/plain; charset=utf-8\n\n${title}\n\n${ref}\n`
  const { status, error } = spawnSync(SENDMAIL, ['-t'], { input: message })
  console.error(status === 0 ? `mailed to ${address}` : `no mail to ${address}: ${error?.message ?? `${SENDMAIL} ended with ${status}`}`)
  return status === 0
}
