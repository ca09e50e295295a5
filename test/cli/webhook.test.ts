import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { readArguments } from '../../cli/arguments.ts'
import { areVapidKeys } from '../../services/reach/vapid.ts'
import { NodeProcess } from '../fixtures/node-process.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'

const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`

/** Starts the command on a free port. Resolves with its process and its address. */
async function receiver(t: Test, args: string[], environment: Record<string, string> = {}): Promise<{ cli: NodeProcess; url: string }> {
  const cli = new NodeProcess('cli.js', ['webhook', '--port', '0', ...args], environment)
  t.teardown(() => cli.kill())
  await cli.until(() => cli.stderr.includes('WEBHOOK_URL='), 'it listened')
  return { cli, url: /WEBHOOK_URL=(\S+)/.exec(cli.stderr)?.[1] ?? '' }
}

t.test('vapid prints a pair of keys', async (t) => {
  const keysOf = async (args: string[]) => {
    const cli = new NodeProcess('cli.js', ['vapid', ...args])
    t.equal(await cli.exited, 0)
    t.equal(cli.stderr, '')
    return cli.stdout
  }
  const [, publicKey = '', privateKey = ''] = /^VAPID_PUBLIC_KEY=(\S+)\nVAPID_PRIVATE_KEY=(\S+)\n$/.exec(await keysOf([])) ?? []
  t.ok(areVapidKeys({ publicKey, privateKey }))
  const json = JSON.parse(await keysOf(['--json']))
  t.ok(areVapidKeys(json))
  t.not(json.publicKey, publicKey)
})

t.test('webhook prints what a service sends, with the secret that it made', async (t) => {
  const { cli, url } = await receiver(t, ['--json'])
  const secret = await until(() => /WEBHOOK_SECRET=(\S+)/.exec(cli.stderr)?.[1])
  const service = await startService(t, { WEBHOOK_URL: url, WEBHOOK_SECRET: secret })
  const { body } = await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Hi', fallback: { after: 0 } })
  await until(() => cli.stdout.includes('\n'))
  t.match(JSON.parse(cli.stdout), {
    id: /^msg_/,
    type: 'notification.fallback',
    timestamp: String,
    data: { user: 'alice', notification: { id: body.id } }
  })
  const forged = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)), 'webhook-signature': 'v1,AAAA' }
  t.equal((await fetch(url, { method: 'POST', headers: forged, body: '{}' })).status, 401)
  await cli.until(() => cli.stderr.includes('Start the service with the WEBHOOK_SECRET above'), 'it said what to do')
  cli.child.kill('SIGINT')
  t.equal(await cli.exited, 0)
})

t.test('webhook verifies the signature with each secret, and refuses anything else', async (t) => {
  const secrets = [newSecret(), newSecret()] as const
  const { cli, url } = await receiver(t, [], { WEBHOOK_SECRET: secrets.join() })
  t.notMatch(cli.stderr, /WEBHOOK_SECRET/, 'a secret that is known is not printed')
  const body = JSON.stringify({ type: 'user.online', timestamp: new Date().toISOString(), data: { user: 'a\u001b[31m' } })
  const post = async (secret: string, { id = 'msg_1', at = new Date(), sent = body, more = {} } = {}) => {
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, at, body),
      ...more
    }
    return (await fetch(url, { method: 'POST', headers, body: sent })).status
  }
  for (const secret of secrets) t.equal(await post(secret), 204)
  t.equal(
    await post(secrets[0], { more: { 'webhook-signature': `v1,AAAA ${new Webhook(secrets[0]).sign('msg_1', new Date(0), body)}` } }),
    401
  )
  t.equal(await post(newSecret()), 401)
  t.equal(await post(secrets[0], { sent: `${body} ` }), 401)
  t.equal(await post(secrets[0], { at: new Date(Date.now() - 301_000) }), 401)
  t.equal(await post(secrets[0], { at: new Date(Date.now() + 302_000) }), 401)
  t.equal(await post(secrets[0], { sent: 'x'.repeat(1_100_000) }), 401)
  t.equal((await fetch(url)).status, 401)
  const broken = request(url, { method: 'POST', headers: { 'content-length': '100' } })
  broken.on('error', () => {})
  await new Promise((resolve) => broken.write('half', resolve))
  broken.destroy()
  t.equal((await fetch(url)).status, 401)
  await until(() => cli.stdout.split('\n').length === 3)
  t.match(cli.stdout, /^\S+ {2}user\.online {2}\{"user":"a\\u001b\[31m"\} {2}msg_1\n/)
  await until(() => cli.stderr.includes('a webhook header is missing'))
  t.match(cli.stderr, /the signature is not of this secret. The service has another WEBHOOK_SECRET/)
  t.match(cli.stderr, /not within five minutes/)
  t.match(cli.stderr, /GET \/: a webhook header is missing/)
  cli.child.kill('SIGINT')
  t.equal(await cli.exited, 0, 'the caller that broke off did not end the command')
})

t.test('the options of webhook', async (t) => {
  t.same(readArguments(['webhook']), { name: 'webhook', json: false, port: 4000, secret: undefined })
  for (const port of ['65536', '-1', 'x', '1.5']) t.throws(() => readArguments(['webhook', `--port=${port}`]), { message: /--port/ }, port)
  const cli = new NodeProcess('cli.js', ['webhook', '--secret', 'hunter2'])
  t.equal(await cli.exited, 1)
  t.match(cli.stderr, /the secret must be whsec_/)
  t.notMatch(cli.stderr, /hunter2/)
  const { url } = await receiver(t, [])
  const second = new NodeProcess('cli.js', ['webhook', '--port', new URL(url).port])
  t.equal(await second.exited, 1)
  t.match(second.stderr, /EADDRINUSE/)
})
