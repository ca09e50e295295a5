import t from 'tap'
import { greeting } from '../../services/node/greeting.ts'

const FACTS = { address: '127.0.0.1', family: 'IPv4', port: 3000, secretFile: '.belfry/jwt-secret', generated: true, demo: true }

t.test('the addresses printed work as they stand', async (t) => {
  for (const [address, family, host] of [
    ['127.0.0.1', 'IPv4', 'localhost'],
    ['0.0.0.0', 'IPv4', 'localhost'],
    ['::', 'IPv6', 'localhost'],
    ['::1', 'IPv6', '[::1]'],
    ['2001:db8::7', 'IPv6', '[2001:db8::7]'],
    ['192.0.2.7', 'IPv4', '192.0.2.7']
  ] as const) {
    const text = greeting({ ...FACTS, address, family, secret: 'a secret' })
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
