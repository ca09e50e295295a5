import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { describeFailure } from '../../services/store/redis/server-facts.ts'
import { Follower } from '../fixtures/follower.ts'
import { settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

t.test('a failure that a setting causes is described with its remedy', async (t) => {
  const described: [string, string][] = [
    ['WRONGPASS invalid username-password pair or user is disabled.', 'it refused the user name or the password (WRONGPASS)'],
    [
      "NOPERM this user has no permissions to run the 'evalsha' command",
      "NOPERM this user has no permissions to run the 'evalsha' command: its user needs the permissions in docs/guides/scaling.md"
    ],
    ['MOVED 7000 10.0.0.1:6379', 'it is a Cluster: set REDIS_CLUSTER_NODES in place of REDIS_URL'],
    ['ERR This instance has cluster support disabled', 'it is not a Cluster: set REDIS_URL in place of REDIS_CLUSTER_NODES'],
    ['Unknown RESP type 72 "H". Please report this.', 'the server there does not speak the protocol of Redis: correct the address'],
    [
      '80FC:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/openssl/ssl3_record.c:350:\n',
      'it does not speak TLS: write redis:// or REDIS_TLS=false'
    ],
    [
      '80BC:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../rec_layer_s3.c:1601:SSL alert number 116\n',
      'it requires a client certificate: set REDIS_TLS_CERT and REDIS_TLS_KEY'
    ],
    [
      'self-signed certificate in certificate chain',
      'self-signed certificate in certificate chain: set REDIS_TLS_CA to the authority of its certificate'
    ],
    ['connect ECONNREFUSED 10.0.0.1:6379', 'connect ECONNREFUSED 10.0.0.1:6379']
  ]
  for (const [message, description] of described) t.equal(describeFailure(new Error(message)), description)
})

t.test('Sentinels that do not answer: one line in the log, whatever the number of attempts', async (t) => {
  let attempts = 0
  const sentinel = createServer((socket) => {
    attempts += 1
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(sentinel, 'listening')
  t.teardown(() => sentinel.close())
  const warnings: string[] = []
  const store = new RedisStore(settings, {
    sentinels: [`127.0.0.1:${(sentinel.address() as AddressInfo).port}`],
    sentinelName: 'm',
    keyPrefix: 'belfry',
    waitReplicas: 0,
    log: { info: () => undefined, warn: (line) => warnings.push(line) }
  })
  t.teardown(() => store.close())
  await new Follower('one', store).open()
  await until(() => attempts >= 8, 'attempts')
  const expected = 'Redis is not available: no Sentinel named the master, check REDIS_SENTINELS, REDIS_SENTINEL_NAME and REDIS_TLS: '
  t.equal(new Set(warnings).size, warnings.length, 'no line twice')
  t.ok(warnings.length <= 2 && warnings.every((line) => line.startsWith(expected)), warnings.join('\n'))
})
