import t from 'tap'
import { greeting } from '../../services/node/greeting.ts'

t.test('the addresses printed work as they stand', async (t) => {
  for (const [address, family, host] of [
    ['127.0.0.1', 'IPv4', 'localhost'],
    ['0.0.0.0', 'IPv4', 'localhost'],
    ['::', 'IPv6', 'localhost'],
    ['::1', 'IPv6', '[::1]'],
    ['2001:db8::7', 'IPv6', '[2001:db8::7]'],
    ['192.0.2.7', 'IPv4', '192.0.2.7']
  ] as const) {
    const text = greeting({ address, family, port: 3000 }, 'a secret', '.belfry/jwt-secret', true, true)
    t.match(text, `--url http://${host}:3000 `)
    t.match(text, `  ws://${host}:3000/v1/ws?token=`)
    t.match(text, `Demo: http://${host}:3000/demo\n`)
  }
})
