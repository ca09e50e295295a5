import t from 'tap'
import { addressOf, createServerClient, probe } from '../../services/store/redis/clients.ts'
import { redirectionOf } from '../../services/store/redis/redirection.ts'
import { agree, readSlots, redirectAddress, slotsText } from '../../services/store/redis/slot-map.ts'

const a = ['10.0.0.1', 6379, 'id-a'] as const
const b = ['10.0.0.2', 6379, 'id-b', ['hostname', 'b']] as const

t.test('CLUSTER SLOTS: owners, replicas, and hosts that are left out', async (t) => {
  const reply = [
    [0, 99, a, b],
    [100, 199, [null, 7000, 'id-c']],
    [300, 300, ['', 7001, 'id-d']],
    [16_383, 16_383, ['?', 7002, 'id-e']]
  ]
  const { owners, servers } = readSlots(reply, 'asked')
  t.same([owners[0], owners[99], owners[100], owners[250]], ['10.0.0.1:6379', '10.0.0.1:6379', 'asked:7000', undefined])
  t.same(servers, ['10.0.0.1:6379', '10.0.0.2:6379', 'asked:7000', 'asked:7001', 'asked:7002'], 'replicas are known, too')
  t.equal(slotsText(owners, '10.0.0.1:6379'), '0-99')
  t.equal(slotsText(owners, undefined), '200-299 301-16382')
  t.equal(slotsText(owners, 'asked:7001'), '300')
})

t.test('views that differ: the majority decides, and one view stands for itself', async (t) => {
  const old = readSlots([[0, 9, a]], '')
  const now = readSlots([[0, 9, b]], '')
  t.equal(agree([old, now, now])[5], '10.0.0.2:6379')
  t.equal(agree([now, old, now])[5], '10.0.0.2:6379')
  t.equal(agree([old])[5], '10.0.0.1:6379')
  t.equal(agree([])[5], undefined)
  t.equal(agree([now, readSlots([], '')])[5], '10.0.0.2:6379')
})

t.test('redirections and addresses', async (t) => {
  t.same(redirectionOf(new Error('MOVED 3999 10.0.0.2:6381')), { kind: 'moved', slot: 3999, endpoint: '10.0.0.2:6381' })
  t.same(redirectionOf(new Error('ASK 3999 :6381')), { kind: 'ask', endpoint: ':6381' })
  t.same(redirectionOf(new Error('TRYAGAIN Multiple keys request during rehashing of slot')), { kind: 'again' })
  t.equal(redirectionOf(new Error('CLUSTERDOWN The cluster is down')), undefined)
  t.equal(redirectionOf('MOVED'), undefined)
  t.equal(redirectAddress(':6381', '10.0.0.1'), '10.0.0.1:6381')
  t.equal(redirectAddress('2001:db8::1:6381', ''), '2001:db8::1:6381')
  t.same(addressOf('2001:db8::1:6381'), { host: '2001:db8::1', port: 6381 })
  t.same(addressOf('[2001:db8::1]:6381'), { host: '2001:db8::1', port: 6381 })
  t.same(addressOf('cache.internal'), { host: 'cache.internal', port: 6379 })
})

t.test('a client whose stream is closed fails its probe', async (t) => {
  const client = createServerClient({ keyPrefix: 'belfry', waitReplicas: 0 }, '127.0.0.1:1', false)
  await t.rejects(probe(client, () => client.ping()))
  client.disconnect()
})
