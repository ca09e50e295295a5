import t from 'tap'
import { greeting } from '../../services/node/greeting.ts'

const FACTS = { address: '127.0.0.1', port: 3000, secretFile: '.belfry/jwt-secret', generated: true, demo: true, showsWebhooks: false }

t.test('the addresses printed work as they stand', async (t) => {
  for (const [address, host] of [
    ['127.0.0.1', 'localhost'],
    ['0.0.0.0', 'localhost'],
    ['::', 'localhost'],
    ['::1', '[::1]'],
    ['2001:db8::7', '[2001:db8::7]'],
    ['192.0.2.7', '192.0.2.7']
  ] as const) {
    const text = greeting({ ...FACTS, address, secret: 'a secret' })
    t.match(text, `--url http://${host}:3000 `)
    t.match(text, `  ws://${host}:3000/v1/ws?token=`)
    t.match(text, `Demo: http://${host}:3000/demo\n`)
  }
})

t.test('tokens are printed to a terminal only; elsewhere the greeting says how to make one', async (t) => {
  const token = /[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}/
  t.match(greeting({ ...FACTS, secret: 'a secret' }), token)
  const kept = greeting({ ...FACTS, secret: undefined })
  t.notMatch(kept, token)
  t.match(kept, 'npx belfry token --user alice')
  t.match(kept, 'npx belfry publish --url http://localhost:3000 --to alice')
})

t.test('the greeting says where webhooks go, if that is the demo', async (t) => {
  const told = /WEBHOOK_URL is empty/
  t.match(greeting({ ...FACTS, secret: undefined, showsWebhooks: true }), told)
  t.notMatch(greeting({ ...FACTS, secret: undefined }), told)
})
