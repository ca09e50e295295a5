import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { SECRETS } from './fixtures/reach.ts'
import { freePort } from './fixtures/redis.ts'
import { until } from './fixtures/wait.ts'
import { call, startService, temporaryFolder } from './helper.ts'

const EXAMPLE = join(process.cwd(), 'examples', 'fallback-mail.mjs')

t.test('fallback-mail.mjs has about 30 lines, and mails what nobody has read', async (t) => {
  const lines = readFileSync(EXAMPLE, 'utf8').trimEnd().split('\n')
  t.ok(lines.length <= 35, `${lines.length} lines`)
  const folder = temporaryFolder(t)
  const [sendmail, mail, broken] = ['sendmail', 'mail', 'broken'].map((name) => join(folder, name)) as [string, string, string]
  writeFileSync(sendmail, `#!/bin/sh\n[ -e ${broken} ] && exit 75\ncat >> ${mail}\n`)
  chmodSync(sendmail, 0o755)
  const port = await freePort()
  const [secret = ''] = SECRETS
  const { PATH = '' } = process.env
  const receiver = spawn(process.execPath, [EXAMPLE], {
    env: { PATH, WEBHOOK_SECRET: secret, PORT: String(port), SENDMAIL: sendmail },
    stdio: ['ignore', 'inherit', 'inherit']
  })
  t.teardown(async () => {
    receiver.kill()
    await once(receiver, 'exit')
  })
  const url = `http://127.0.0.1:${port}/`
  const without = spawnSync(process.execPath, [EXAMPLE], { env: { PATH }, encoding: 'utf8' })
  t.equal(without.status, 1, 'an empty key would accept what anybody signs')
  t.match(without.stderr, 'set WEBHOOK_SECRET')
  await until(async () => (await fetch(url, { method: 'POST' }).catch(() => undefined))?.status === 401)

  const service = await startService(t, { WEBHOOK_URL: url, WEBHOOK_SECRET: secret })
  const publish = (more: object) =>
    call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Invoice 7 ü\nBcc: x@y', fallback: { after: 0 }, ...more })
  await publish({ ref: 'https://example.com/7' })
  await until(() => existsSync(mail) && readFileSync(mail, 'utf8').includes('example.com/7'))
  const [head = '', body = ''] = readFileSync(mail, 'utf8').split('\n\n')
  t.match(head, /^To: alice@example.com\nSubject: =\?UTF-8\?B\?[\w+/=]+\?=\nContent-Type: text\/plain; charset=utf-8$/)
  t.match(body, 'Invoice 7 ü')

  writeFileSync(broken, '')
  await publish({ title: 'Second' })
  await until(async () => {
    const { body } = await call(service, 'GET', '/metrics', undefined, { token: '' })
    return body.includes('belfry_calls_total{kind="webhook",result="retry"} 1')
  })
  t.notMatch(readFileSync(mail, 'utf8'), 'Second')

  const forged = {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
    'webhook-signature': 'v1,AAAA \u00ff'
  }
  t.equal((await fetch(url, { method: 'POST', headers: forged, body: '{}' })).status, 401)
  const cut = request(url, { method: 'POST', headers: { 'content-length': '100' } })
  cut.on('error', () => {})
  await new Promise((resolve) => cut.write('half', resolve))
  cut.destroy()
  const isUp = async () => (await fetch(url, { method: 'POST' }).catch(() => undefined))?.status === 401
  for (let round = 0; round < 5; round++) t.ok(await isUp(), 'a caller that breaks off does not end it')
  t.ok(receiver.exitCode === null, 'it survives what it refuses')
})
