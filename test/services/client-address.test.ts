import t from 'tap'
import { addressIn, clientAddress, proxyTrust } from '../../services/connection/client-address.ts'

t.test('the address in an entry of X-Forwarded-For', async (t) => {
  for (const [entry, address] of [
    ['203.0.113.9', '203.0.113.9'],
    ['203.0.113.9:51234', '203.0.113.9'],
    [' 203.0.113.9 ', '203.0.113.9'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['[::ffff:203.0.113.9]:1', '203.0.113.9'],
    ['unknown', ''],
    ['_hidden', ''],
    ['', ''],
    ['203.0.113.9:x', ''],
    ['[203.0.113', '']
  ] as const)
    t.equal(addressIn(entry), address, entry)
  t.equal(clientAddress('unknown', '::ffff:10.0.0.1'), '10.0.0.1', 'else the address of the socket')
})

t.test('trusted proxies, with and without a port', async (t) => {
  const isTrusted = proxyTrust(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '::1'])
  for (const entry of ['10.1.2.3', '10.1.2.3:80', '192.0.2.7', '::ffff:10.1.2.3', '[fd00::5]:443', '::1']) t.ok(isTrusted(entry), entry)
  for (const entry of ['11.0.0.1', '192.0.2.8', '[2001:db8::1]', 'unknown', '']) t.notOk(isTrusted(entry), entry)
})
