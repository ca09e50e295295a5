import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, importPKCS8, type JWK, SignJWT } from 'jose'
import type { Test } from 'tap'
import t from 'tap'
import { KeySet } from '../../services/auth/key-set.ts'
import { TokenError, type VerifyToken } from '../../services/auth/tokens.ts'
import { isProblem } from '../fixtures/problem.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, SECRET, serviceToken, startService, type TestService, userToken } from '../helper.ts'

type Algorithm = 'RS256' | 'ES256' | 'EdDSA' | 'PS256'

const now = (): number => Math.floor(Date.now() / 1000)

function keyPair(algorithm: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519')
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return generateKeyPairSync('rsa', { modulusLength: 2048 })
}

function pem(key: KeyObject): string {
  return String(key.export({ type: 'spki', format: 'pem' }))
}

async function sign(key: KeyObject, alg: Algorithm, header: Record<string, unknown> = {}, claims = {}): Promise<string> {
  const pkcs8 = String(key.export({ type: 'pkcs8', format: 'pem' }))
  return await new SignJWT({ sub: 'alice', ...claims })
    .setProtectedHeader({ alg, ...header })
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(await importPKCS8(pkcs8, alg))
}

/** Signs any header and payload, as an attacker would. */
function forge(header: unknown, payload: unknown, secret: string | Buffer | null = SECRET): string {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const head = `${encode(header)}.${encode(payload)}`
  return `${head}.${secret === null ? '' : createHmac('sha256', secret).update(head).digest('base64url')}`
}

/** Returns '' if the socket sends `hello` and `/v1/me` answers 200, else the reason of the refusal. Close code and problem must agree. */
async function verdictOf(t: Test, service: TestService, token: string, user = 'alice'): Promise<string> {
  const client = await connect(t, service, user, { token })
  const { status, body } = await call(service, 'GET', '/v1/me/notifications', undefined, { token })
  await client.until(() => client.closed ?? client.all('hello')[0], 'verdict')
  if (client.closed === undefined) {
    t.equal(client.all('hello')[0]?.user, user)
    t.equal(status, 200)
    await client.close()
    return ''
  }
  t.equal(client.closed.code, 4001)
  t.same(
    client.frames.filter(({ type }) => type !== 'bye'),
    [],
    'a client that is not authenticated receives nothing'
  )
  t.equal(status, 401)
  t.equal(body.code, `BELFRY_ERR_${client.closed.reason.toUpperCase()}`)
  return client.closed.reason
}

t.test('HS256: accepted tokens, and the reason of each refusal', async (t) => {
  const service = await startService(t, { JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'belfry' })
  const good = { sub: 'alice', iss: 'https://issuer.example', aud: 'belfry', exp: now() + 600 }
  const hs256 = { alg: 'HS256', typ: 'JWT' }
  const { sub: _sub, ...noSub } = good
  const { exp: _exp, ...noExp } = good
  const { iss: _iss, ...noIss } = good
  const { aud: _aud, ...noAud } = good
  const cases: [name: string, token: string, verdict: string, user?: string][] = [
    ['good', forge(hs256, good), ''],
    ['no typ', forge({ alg: 'HS256' }, good), ''],
    ['typ at+jwt', forge({ ...hs256, typ: 'at+JWT' }, good), ''],
    ['aud array with ours', forge(hs256, { ...good, aud: ['other', 'belfry'] }), ''],
    ['nbf and iat within the leeway', forge(hs256, { ...good, nbf: now() + 20, iat: now() + 20 }), ''],
    ['a user of 128 characters', forge(hs256, { ...good, sub: '😀'.repeat(128) }), '', '😀'.repeat(128)],
    ['sub is opaque', forge(hs256, { ...good, sub: 'a|b/{x}/../' }), '', 'a|b/{x}/../'],
    ['alg none', forge({ alg: 'none' }, good, null), 'token_invalid'],
    ['alg NONE', forge({ alg: 'NONE' }, good, null), 'token_invalid'],
    ['alg nOnE, signed', forge({ alg: 'nOnE' }, good), 'token_invalid'],
    ['empty signature', forge(hs256, good, null), 'token_invalid'],
    ['another secret', forge(hs256, good, 'another secret'), 'token_invalid'],
    ['the empty secret', forge(hs256, good, ''), 'token_invalid'],
    ['no alg', forge({}, good), 'token_invalid'],
    ['alg HS512 in the header', forge({ alg: 'HS512' }, good), 'token_invalid'],
    ['crit', forge({ ...hs256, crit: ['exp2'], exp2: 1 }, good), 'token_invalid'],
    ['typ refresh+jwt', forge({ ...hs256, typ: 'refresh+jwt' }, good), 'token_invalid'],
    ['typ is no text', forge({ ...hs256, typ: 7 }, good), 'token_invalid'],
    ['exp a second ago', forge(hs256, { ...good, exp: now() - 1 }), 'token_expired'],
    ['nbf in 60 s', forge(hs256, { ...good, nbf: now() + 60 }), 'token_invalid'],
    ['nbf is no number', forge(hs256, { ...good, nbf: 'now' }), 'token_invalid'],
    ['iat in an hour', forge(hs256, { ...good, iat: now() + 3600 }), 'token_invalid'],
    ['no exp', forge(hs256, noExp), 'token_invalid'],
    ['exp as text', forge(hs256, { ...good, exp: String(now() + 600) }), 'token_invalid'],
    ['wrong aud', forge(hs256, { ...good, aud: 'other' }), 'token_invalid'],
    ['no aud', forge(hs256, noAud), 'token_invalid'],
    ['iss array', forge(hs256, { ...good, iss: ['https://issuer.example'] }), 'token_invalid'],
    ['wrong iss', forge(hs256, { ...good, iss: 'https://issuer.example.evil' }), 'token_invalid'],
    ['no iss', forge(hs256, noIss), 'token_invalid'],
    ['no sub', forge(hs256, noSub), 'token_invalid'],
    ['sub is an object', forge(hs256, { ...good, sub: { alice: 1 } }), 'token_invalid'],
    ['sub is a number', forge(hs256, { ...good, sub: 7 }), 'token_invalid'],
    ['sub is empty', forge(hs256, { ...good, sub: '' }), 'token_invalid'],
    ['sub of 129', forge(hs256, { ...good, sub: 'a'.repeat(129) }), 'token_invalid'],
    ['sub with a control character', forge(hs256, { ...good, sub: 'a\u0000b' }), 'token_invalid'],
    ['sub with half a surrogate pair', forge(hs256, { ...good, sub: 'a\ud800' }), 'token_invalid'],
    ['4 KB and one', forge(hs256, { ...good, pad: 'x'.repeat(4096) }).slice(0, 4097), 'token_invalid'],
    ['long and well signed', forge(hs256, { ...good, pad: 'x'.repeat(4096) }), 'token_invalid'],
    ['no JSON', 'a.b.c', 'token_invalid'],
    ['one part', 'abc', 'token_invalid'],
    ['the payload is no object', forge(hs256, 'alice'), 'token_invalid'],
    ['the header is null', forge(null, good), 'token_invalid']
  ]
  for (const [name, token, verdict, user] of cases) {
    await t.test(name, async (t) => {
      t.equal(await verdictOf(t, service, token, user), verdict)
    })
  }
})

t.test('no token: 4001 token_missing on the socket, 401 on REST', async (t) => {
  const service = await startService(t)
  const client = await connect(t, service, 'alice', { protocols: ['belfry.v1'] })
  t.same(await client.whenClosed(), { code: 4001, reason: 'token_missing' })
  for (const [method, path] of [
    ['GET', '/v1/me/notifications'],
    ['POST', '/v1/notifications'],
    ['GET', '/v1/users/alice/queue']
  ] as const) {
    const { status, body, headers } = await call(service, method, path, method === 'POST' ? {} : undefined, { token: '' })
    t.match({ status, body }, { status: 401, body: { code: 'BELFRY_ERR_TOKEN_MISSING', status: 401 } })
    t.match(headers.get('content-type'), /^application\/problem\+json/)
  }
  const basic = await call(service, 'GET', '/v1/me/notifications', undefined, { token: '', headers: { authorization: 'Basic YTpi' } })
  t.equal(basic.body.code, 'BELFRY_ERR_TOKEN_MISSING')
})

t.test(
  'the header has precedence over the subprotocol, and the subprotocol over the query; the answer never repeats the token',
  async (t) => {
    const service = await startService(t)
    const url = (user: string): string => `${service.socketUrl}/v1/ws?token=${userToken(user)}`
    const open = async (address: string, protocols: string[], headers: Record<string, string> = {}) => {
      const client = await connect(t, { socketUrl: address.replace(/\/v1\/ws.*/, '') }, '', {
        protocols,
        headers,
        ...(address.includes('?token=') ? { query: { token: address.split('?token=')[1] as string } } : {})
      })
      const { user } = await client.next('hello')
      return { user, protocol: client.socket.protocol }
    }
    const protocols = ['belfry.v1', `bearer.${userToken('from-protocol')}`]
    t.same(await open(url('from-query'), protocols, { authorization: `Bearer ${userToken('from-header')}` }), {
      user: 'from-header',
      protocol: 'belfry.v1'
    })
    t.same(await open(url('from-query'), protocols.toReversed()), { user: 'from-protocol', protocol: 'belfry.v1' })
    t.same(await open(url('from-query'), ['belfry.v1']), { user: 'from-query', protocol: 'belfry.v1' })
    t.same(await open(url('from-query'), []), { user: 'from-query', protocol: '' })
    const other = await connect(t, service, 'alice', { protocols: ['belfry.v2', `bearer.${userToken('alice')}`] })
    t.same(await other.whenClosed(), { code: 4005, reason: 'unsupported version' })
    t.equal(other.socket.protocol, 'belfry.v2', 'a browser can read the close code')
  }
)

for (const algorithm of ['RS256', 'ES256', 'EdDSA'] as const) {
  t.test(`${algorithm} with JWT_PUBLIC_KEY`, async (t) => {
    const { publicKey, privateKey } = keyPair(algorithm)
    const service = await startService(t, { JWT_SECRET: '', JWT_PUBLIC_KEY: pem(publicKey) })
    t.equal(await verdictOf(t, service, await sign(privateKey, algorithm)), '')
    t.equal(await verdictOf(t, service, await sign(keyPair(algorithm).privateKey, algorithm)), 'token_invalid', 'another key')
    const claims = { sub: 'alice', exp: now() + 600 }
    const der = publicKey.export({ type: 'spki', format: 'der' })
    for (const secret of [pem(publicKey), `\n${pem(publicKey)}`, pem(publicKey).trim(), `\ufeff${pem(publicKey)}`, der]) {
      t.equal(await verdictOf(t, service, forge({ alg: 'HS256' }, claims, secret)), 'token_invalid', 'the public key as a secret')
    }
    t.equal(await verdictOf(t, service, forge({ alg: 'none' }, claims, undefined)), 'token_invalid')
    if (algorithm === 'RS256') t.equal(await verdictOf(t, service, await sign(privateKey, 'PS256')), 'token_invalid', 'PS256')
    const scoped = await sign(privateKey, algorithm, {}, { sub: 'a-service', scope: 'other publish' })
    t.equal((await call(service, 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: 'b' }, { token: scoped })).status, 202)
  })
}

/** Starts a server of a key set that counts its requests. */
async function keyServer(t: Test, keys: () => JWK[] | undefined): Promise<{ url: string; requests: () => number }> {
  let requests = 0
  const server = createServer((_request, response) => {
    requests += 1
    const found = keys()
    response.writeHead(found === undefined ? 500 : 200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: found }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`, requests: () => requests }
}

async function jwk(key: KeyObject, kid: string, alg: string): Promise<JWK> {
  return { ...(await exportJWK(key)), kid, alg, use: 'sig' }
}

t.test('JWKS: the set is fetched once; an unknown kid, or a URL in a header, causes no request', async (t) => {
  const [one, two, three] = [keyPair('RS256'), keyPair('ES256'), keyPair('EdDSA')]
  const keys = [
    await jwk(one.publicKey, 'one', 'RS256'),
    await jwk(two.publicKey, 'two', 'ES256'),
    await jwk(three.publicKey, 'three', 'EdDSA')
  ]
  const set = await keyServer(t, () => keys)
  const attacker = keyPair('RS256')
  const evil = await keyServer(t, () => [])
  const service = await startService(t, { JWT_SECRET: '', JWKS_URL: set.url })
  t.equal(set.requests(), 0, 'not before the first token')
  t.equal(await verdictOf(t, service, await sign(one.privateKey, 'RS256', { kid: 'one' })), '')
  t.equal(await verdictOf(t, service, await sign(two.privateKey, 'ES256', { kid: 'two' })), '')
  t.equal(await verdictOf(t, service, await sign(three.privateKey, 'EdDSA', { kid: 'three' })), '')
  t.equal(await verdictOf(t, service, await sign(one.privateKey, 'RS256', { kid: 'two' })), 'token_invalid', 'the key of another family')
  const expired = await new SignJWT({ sub: 'alice' })
    .setProtectedHeader({ alg: 'EdDSA', kid: 'three' })
    .setExpirationTime(now() - 1)
    .sign(three.privateKey)
  t.equal(await verdictOf(t, service, expired), 'token_expired')
  for (const kid of ['../../etc/passwd', "' OR 1=1 --", 'unknown', 'x'.repeat(2000)]) {
    const answer = await call(service, 'GET', '/v1/me/notifications', undefined, {
      token: await sign(attacker.privateKey, 'RS256', { kid })
    })
    t.match(answer, { status: 503, body: { code: 'BELFRY_ERR_KEY_UNKNOWN' } }, `${kid.slice(0, 20)}`)
  }
  const key = await exportJWK(attacker.publicKey)
  for (const header of [{ jwk: key }, { jku: evil.url }, { x5u: evil.url }, { x5c: ['MIIB'] }]) {
    const token = await sign(attacker.privateKey, 'RS256', { kid: 'one', ...header })
    t.equal(await verdictOf(t, service, token), 'token_invalid', `${Object.keys(header)}`)
  }
  t.equal(
    await verdictOf(t, service, forge({ alg: 'HS256', kid: 'one' }, { sub: 'alice', exp: now() + 60 }, pem(one.publicKey))),
    'token_invalid'
  )
  t.equal(set.requests(), 1)
  t.equal(evil.requests(), 0)
})

t.test('JWKS rotation: a new kid is found; unknown kids cause one request per cooldown, whether the set is available or not', async (t) => {
  const [before, after] = [keyPair('ES256'), keyPair('ES256')]
  let keys: JWK[] | undefined = [await jwk(before.publicKey, 'before', 'ES256')]
  const set = await keyServer(t, () => keys)
  const failures: unknown[] = []
  const cooldownMs = 700
  const { verify } = new KeySet({ url: set.url, issuer: '', audience: '', onFailure: (error) => failures.push(error), cooldownMs })
  const rotated = await sign(after.privateKey, 'ES256', { kid: 'after' })
  t.match(await verify(await sign(before.privateKey, 'ES256', { kid: 'before' })), { sub: 'alice' })
  keys = [await jwk(after.publicKey, 'after', 'ES256')]
  const since = Date.now()
  const refusal = await verify(rotated).catch((error: unknown) => error as { code: string; retryAfterMs: number })
  t.match(refusal, { code: 'BELFRY_ERR_KEY_UNKNOWN', statusCode: 503 }, 'within the cooldown there is no verdict')
  t.ok('retryAfterMs' in refusal && refusal.retryAfterMs > 0 && refusal.retryAfterMs <= cooldownMs)
  t.equal(set.requests(), 1)
  const claims = await until(() => verify(rotated).catch(() => undefined))
  t.equal(claims.sub, 'alice')
  t.ok(Date.now() - since >= cooldownMs - 50)
  t.equal(set.requests(), 2)
  const withdrawn = await sign(before.privateKey, 'ES256', { kid: 'before' })
  t.equal(await verdictAfterCooldown(verify, withdrawn), 'token_invalid', 'the old key was withdrawn')
  t.equal(set.requests(), 3)

  keys = undefined
  const unknown = await sign(after.privateKey, 'ES256', { kid: 'unknown' })
  await until(() =>
    verify(unknown).then(
      () => false,
      (error: { code?: string }) => error.code === 'BELFRY_ERR_KEYS_UNAVAILABLE'
    )
  )
  t.equal(set.requests(), 4)
  for (let n = 0; n < 20; n++) await t.rejects(verify(unknown), { code: 'BELFRY_ERR_KEYS_UNAVAILABLE' })
  t.equal(set.requests(), 4)
  t.equal(failures.length, 1)
  t.match(await verify(rotated), { sub: 'alice' }, 'the keys fetched before stay valid')
})

/** Returns the verdict on a token after the cooldown: 'accepted' or the reason of the refusal. */
function verdictAfterCooldown(verify: VerifyToken, token: string): Promise<string> {
  return until(async () => {
    const error: unknown = await verify(token).then(
      () => '',
      (reason: unknown) => reason
    )
    if (error === '') return 'accepted'
    return error instanceof TokenError && error.refusal
  }, 'a verdict')
}

t.test('JWKS: keys without a kid are tried in turn, and a key added to the set is found', async (t) => {
  const [one, two, three] = [keyPair('ES256'), keyPair('ES256'), keyPair('ES256')]
  const anonymous = async (key: KeyObject): Promise<JWK> => ({ ...(await exportJWK(key)), alg: 'ES256', use: 'sig' })
  const keys = [await anonymous(one.publicKey), await anonymous(two.publicKey)]
  const set = await keyServer(t, () => keys)
  const { verify } = new KeySet({ url: set.url, issuer: '', audience: '', onFailure: () => undefined, cooldownMs: 300 })
  for (const { privateKey } of [one, two]) t.match(await verify(await sign(privateKey, 'ES256')), { sub: 'alice' })
  const token = await sign(three.privateKey, 'ES256')
  await t.rejects(verify(token), { code: 'BELFRY_ERR_KEY_UNKNOWN' })
  keys.push(await anonymous(three.publicKey))
  t.equal(await verdictAfterCooldown(verify, token), 'accepted')
  const forged = await sign(keyPair('ES256').privateKey, 'ES256')
  t.equal(await verdictAfterCooldown(verify, forged), 'token_invalid')
  const expired = new SignJWT({ sub: 'alice' }).setProtectedHeader({ alg: 'ES256' }).setExpirationTime(now() - 1)
  await t.rejects(verify(await expired.sign(two.privateKey)), { message: 'token_expired' })
})

t.test('JWKS: a flood of invented kids delays a new key by one cooldown at most', async (t) => {
  const [before, after] = [keyPair('ES256'), keyPair('ES256')]
  const keys = [await jwk(before.publicKey, 'before', 'ES256')]
  const set = await keyServer(t, () => keys)
  const cooldownMs = 500
  const { verify } = new KeySet({ url: set.url, issuer: '', audience: '', onFailure: () => undefined, cooldownMs })
  await verify(await sign(before.privateKey, 'ES256', { kid: 'before' }))
  let madeUp = 0
  const attack = setInterval(async () => {
    await verify(await sign(before.privateKey, 'ES256', { kid: `made-up-${madeUp++}` })).catch(() => undefined)
  }, 10)
  t.teardown(() => clearInterval(attack))
  await until(() => set.requests() >= 3, 'two refreshes that the attack caused')
  const since = performance.now()
  const requests = set.requests()
  keys.push(await jwk(after.publicKey, 'after', 'ES256'))
  t.equal(await verdictAfterCooldown(verify, await sign(after.privateKey, 'ES256', { kid: 'after' })), 'accepted')
  t.ok(set.requests() - requests <= 1 + Math.ceil((performance.now() - since) / cooldownMs), 'one request per cooldown')
  t.ok(madeUp > 20)
})

t.test('a key that is not in the set yet closes a WebSocket with 4100 and a delay, and is 503 in HTTP', async (t) => {
  const [known, fresh] = [keyPair('ES256'), keyPair('ES256')]
  const keys = [await jwk(known.publicKey, 'known', 'ES256')]
  const set = await keyServer(t, () => keys)
  const service = await startService(t, { JWT_SECRET: '', JWKS_URL: set.url })
  t.equal(await verdictOf(t, service, await sign(known.privateKey, 'ES256', { kid: 'known' })), '')
  const token = await sign(fresh.privateKey, 'ES256', { kid: 'fresh' })
  const client = await connect(t, service, 'alice', { token })
  const bye = await client.next('bye')
  t.match(bye, { code: 4100, reason: 'key_unknown' })
  t.ok(bye.reconnectInMs > 0 && bye.reconnectInMs <= 10_000)
  t.equal((await client.whenClosed()).code, 4100)
  for (const path of ['/v1/me/notifications', '/v1/sse']) {
    const answer = await call(service, 'GET', path, undefined, { token })
    isProblem(t, answer, 503, 'KEY_UNKNOWN')
    t.ok(Number(answer.headers.get('retry-after')) >= 1)
  }
  const live = await connect(t, service, 'alice', { token: await sign(known.privateKey, 'ES256', { kid: 'known' }) })
  await live.next('caughtUp')
  live.send({ type: 'refresh', ref: 1, token })
  t.match(await live.next('error'), { ref: 1, code: 'BELFRY_ERR_KEY_UNKNOWN', temporary: true })
  t.equal(live.closed, undefined, 'the connection stays')
})

t.test('while the key set is unavailable, tokens get 503 and no verdict', async (t) => {
  const { publicKey, privateKey } = keyPair('ES256')
  let keys: JWK[] | undefined
  const set = await keyServer(t, () => keys)
  const service = await startService(t, { JWT_SECRET: '', JWKS_URL: set.url, JWT_ISSUER: 'us', JWT_AUDIENCE: 'belfry' })
  const token = await sign(privateKey, 'ES256', { kid: 'k' }, { iss: 'us', aud: 'belfry' })
  const unavailable = await call(service, 'GET', '/v1/me/notifications', undefined, { token })
  t.match(unavailable, { status: 503, body: { code: 'BELFRY_ERR_KEYS_UNAVAILABLE' } })
  t.ok(Number(unavailable.headers.get('retry-after')) >= 1)
  await t.rejects(connect(t, service, 'alice', { token }), { message: /503/ }, 'the socket too, in HTTP')
  keys = [await jwk(publicKey, 'k', 'ES256')]
  await until(async () => (await call(service, 'GET', '/v1/me/notifications', undefined, { token })).status === 200)
  t.equal(await verdictOf(t, service, token), '')
  t.equal(await verdictOf(t, service, await sign(privateKey, 'ES256', { kid: 'k' }, { iss: 'us' })), 'token_invalid')
  t.equal(await verdictOf(t, service, await sign(privateKey, 'ES256', { kid: 'k' }, { aud: 'belfry' })), 'token_invalid')
})

t.test('API keys and the scopes publish and admin may publish', async (t) => {
  const service = await startService(t, { API_KEYS: 'first-key-of-a-publisher, second-key' })
  const publish = (token: string) => call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'b' }, { token })
  const answer = async (token: string): Promise<string> => {
    const { status, body } = await publish(token)
    return status === 202 ? '202' : `${status} ${body.code}`
  }
  t.equal(await answer('first-key-of-a-publisher'), '202')
  t.equal(await answer('second-key'), '202')
  t.equal(await answer('second-key '), '202', 'space around a header value is not part of the key')
  t.equal(await answer('second-ke'), '401 BELFRY_ERR_TOKEN_INVALID')
  t.equal(await answer('first-key-of-a-publisher,second-key'), '401 BELFRY_ERR_TOKEN_INVALID')
  t.equal(await answer(''), '401 BELFRY_ERR_TOKEN_MISSING')
  t.equal(await answer(serviceToken('publish')), '202')
  t.equal(await answer(serviceToken('read admin')), '202')
  t.equal(await answer(userToken('svc', { scope: ['x', 'publish', 7] })), '202', 'a list of scopes')
  t.equal(await answer(userToken('svc', { scope: 'publisher' })), '403 BELFRY_ERR_SCOPE_MISSING')
  t.equal(await answer(userToken('svc', { scope: { publish: true } })), '403 BELFRY_ERR_SCOPE_MISSING')
  t.equal(await answer(userToken('alice')), '403 BELFRY_ERR_SCOPE_MISSING', 'a user token cannot publish')
  t.equal(await answer(userToken('svc', { scope: 'publish' }, -1)), '401 BELFRY_ERR_TOKEN_EXPIRED')

  t.equal(await verdictOf(t, service, 'second-key'), 'token_invalid', 'an API key does not authenticate a user')
  for (const path of ['notifications', 'queue', 'connections', 'notifications/x']) {
    t.equal((await call(service, 'GET', `/v1/users/alice/${path}`, undefined, { token: userToken('alice') })).status, 403, path)
  }
})

t.test('without STRICT_SCOPES, publish takes every route of a user but the topics and the erasure', async (t) => {
  const service = await startService(t, { API_KEYS: 'a-publisher' })
  for (const path of ['notifications', 'queue', 'connections', 'scheduled', 'presence']) {
    for (const token of [serviceToken('publish'), 'a-publisher']) {
      t.equal((await call(service, 'GET', `/v1/users/alice/${path}`, undefined, { token })).status, 200, path)
    }
    t.equal((await call(service, 'GET', `/v1/users/alice/${path}`, undefined, { token: userToken('alice') })).status, 403, path)
  }
  for (const [method, path] of [
    ['DELETE', ''],
    ['GET', '/topics']
  ] as const) {
    const refused = await call(service, method, `/v1/users/alice${path}`, undefined, { token: 'a-publisher' })
    t.match(refused, { status: 403, body: { code: 'BELFRY_ERR_SCOPE_MISSING', detail: /scope admin$/ } })
  }
})

t.test('with STRICT_SCOPES, publish looks at one notification and recalls it; everything else of a user needs admin', async (t) => {
  const service = await startService(t, { API_KEYS: 'a-publisher,admin:an-operator,admin:both,both', STRICT_SCOPES: 'true' })
  const { body: published } = await call(
    service,
    'POST',
    '/v1/notifications',
    { to: 'alice', type: 'a', title: 'b' },
    { token: 'a-publisher' }
  )
  const one = `/v1/users/alice/notifications/${published.id}`
  const mark = { ids: [published.id], state: 'read' }
  const routes: [method: string, path: string, scope: 'publish' | 'admin', body?: unknown][] = [
    ['GET', one, 'publish'],
    ['GET', `${one}/receipts`, 'publish'],
    ['GET', '/v1/users/alice/notifications', 'admin'],
    ['POST', '/v1/users/alice/notifications/mark', 'admin', mark],
    ['GET', '/v1/users/alice/connections', 'admin'],
    ['DELETE', '/v1/users/alice/connections', 'admin'],
    ['DELETE', '/v1/users/alice/connections/x', 'admin'],
    ['GET', '/v1/users/alice/queue', 'admin'],
    ['GET', '/v1/users/alice/scheduled', 'admin'],
    ['DELETE', one, 'publish'],
    ['DELETE', '/v1/users/alice', 'admin']
  ]
  for (const [method, path, scope, body] of routes) {
    const name = `${method} ${path}`
    for (const token of [serviceToken('publish'), 'a-publisher']) {
      const { status, body: answer } = await call(service, method, path, body, { token })
      if (scope === 'publish') t.ok([200, 204, 404].includes(status), name)
      else t.match({ status, answer }, { status: 403, answer: { code: 'BELFRY_ERR_SCOPE_MISSING', detail: /scope admin$/ } }, name)
    }
    for (const token of [serviceToken('admin'), 'an-operator', 'both']) {
      t.ok([200, 204, 404].includes((await call(service, method, path, body, { token })).status), name)
    }
    t.equal((await call(service, method, path, body, { token: userToken('alice') })).status, 403, name)
    for (const token of ['', 'admin:an-operator', 'admin:', 'admin:a-publisher']) {
      t.equal((await call(service, method, path, body, { token })).status, 401, `${name} ${token}`)
    }
  }
  const publish = (token: string) => call(service, 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: 'b' }, { token })
  t.equal((await publish('an-operator')).status, 202, 'admin includes publish')
  t.match(await publish(userToken('bob')), { status: 403, body: { detail: /scope publish or admin$/ } })
})

t.test('the same idempotency key of two publishers is two keys', async (t) => {
  const service = await startService(t, { API_KEYS: 'one,two' })
  const headers = { 'idempotency-key': 'same' }
  const publish = (token: string) => call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'b' }, { token, headers })
  const ids = [await publish('one'), await publish('two'), await publish(serviceToken()), await publish('one')].map(({ status, body }) => [
    status,
    body.id
  ])
  t.same(
    ids.map(([status]) => status),
    [202, 202, 202, 200]
  )
  t.equal(new Set(ids.map(([, id]) => id)).size, 3)
})

t.test('a token that expires closes the socket with 4001 within a second; a refresh before that keeps it open', async (t) => {
  const service = await startService(t)
  const exp = now() + 2
  const [stays, leaves] = await Promise.all(
    ['stays', 'leaves'].map((user) => connect(t, service, user, { token: userToken(user, { exp }) }))
  )
  t.equal((await leaves?.next('hello'))?.tokenExpiresAt, exp * 1000)
  await stays?.next('hello')
  const later = now() + 600
  stays?.send({ type: 'refresh', ref: 8, token: userToken('stays', { exp: later }) })
  t.same(await stays?.next('ok'), { type: 'ok', ref: 8, tokenExpiresAt: later * 1000 })
  t.same(await leaves?.whenClosed(), { code: 4001, reason: 'token_expired' })
  const late = Date.now() - exp * 1000
  t.ok(late >= 0 && late < 1500, `${late} ms after exp`)
  t.match(leaves?.all('bye')[0], { code: 4001, reason: 'token_expired' })
  const { status } = await call(service, 'POST', '/v1/notifications', { to: 'stays', type: 'a', title: 'still here' })
  t.equal(status, 202)
  t.match(await stays?.next('notification'), { notification: { title: 'still here' } })
})

t.test('a refresh that is refused changes nothing', async (t) => {
  const service = await startService(t)
  const client = await connect(t, service, 'alice', { token: userToken('alice', { iat: now() - 100 }) })
  await client.next('hello')
  for (const [token, code] of [
    [userToken('mallory'), 'BELFRY_ERR_TOKEN_INVALID'],
    [userToken('alice', {}, -5), 'BELFRY_ERR_TOKEN_EXPIRED'],
    ['', 'BELFRY_ERR_TOKEN_MISSING'],
    [7, 'BELFRY_ERR_TOKEN_MISSING'],
    ['a.b.c', 'BELFRY_ERR_TOKEN_INVALID']
  ] as const) {
    client.send({ type: 'refresh', ref: 1, token })
    t.match(await client.next('error'), { ref: 1, code, temporary: false })
  }
  t.equal(client.closed, undefined)
})

t.test('a revocation closes sockets; older tokens are refused everywhere, newer ones are accepted', async (t) => {
  const service = await startService(t)
  const old = userToken('alice', { iat: now() - 10 })
  const clients = await Promise.all([0, 1, 2].map((n) => connect(t, service, 'alice', { token: old, deviceId: `d${n}` })))
  for (const client of clients) await client.next('hello')
  const bob = await connect(t, service, 'bob')
  await bob.next('hello')
  const answer = await call(service, 'DELETE', '/v1/users/alice/connections?revoke=true')
  t.same([answer.status, answer.body], [200, { disconnected: 3, durability: 'fsync' }])
  for (const client of clients) t.same(await client.whenClosed(), { code: 4001, reason: 'token_revoked' })
  t.equal(bob.closed, undefined)
  const again = await connect(t, service, 'alice', { token: old })
  t.same(await again.whenClosed(), { code: 4001, reason: 'token_revoked' })
  t.match(await call(service, 'GET', '/v1/me/notifications', undefined, { token: old }), {
    status: 401,
    body: { code: 'BELFRY_ERR_TOKEN_REVOKED' }
  })
  const withoutIat = userToken('alice', { iat: undefined })
  t.equal(await verdictOf(t, service, withoutIat), 'token_revoked', 'a token without iat counts as old')

  const fresh = userToken('alice', { iat: now() })
  const back = await connect(t, service, 'alice', { token: fresh })
  await back.next('hello')
  t.equal((await call(service, 'GET', '/v1/me/notifications', undefined, { token: fresh })).status, 200)
  back.send({ type: 'refresh', ref: 2, token: old })
  t.match(await back.next('error'), { ref: 2, code: 'BELFRY_ERR_TOKEN_REVOKED', temporary: false })
})

t.test('a token whose iat has milliseconds is compared with a revocation by milliseconds', async (t) => {
  const service = await startService(t)
  const before = Date.now() - 1
  await call(service, 'DELETE', '/v1/users/alice/connections?revoke=true')
  const at = async (ms: number): Promise<string> =>
    verdictOf(t, service, userToken('alice', { iat: (ms - (ms % 1000 === 0 ? 1 : 0)) / 1000 }))
  t.equal(await at(before), 'token_revoked')
  t.equal(await at(Date.now() + 2), '')
})

t.test('a user token that would outlive its revocation is refused; a service token may, since it cannot be revoked', async (t) => {
  const service = await startService(t, { MAX_TOKEN_LIFETIME: '3600' })
  const lasting = (seconds: number, iat: number | undefined) => userToken('alice', { iat, exp: now() + seconds })
  t.equal(await verdictOf(t, service, lasting(3600, now())), '')
  t.equal(await verdictOf(t, service, lasting(3700, now())), 'token_invalid')
  t.equal(await verdictOf(t, service, lasting(3500, undefined)), '', 'without iat its life is counted from now')
  t.equal(await verdictOf(t, service, lasting(3700, undefined)), 'token_invalid')
  t.equal(await verdictOf(t, service, lasting(3600, now() - 200)), 'token_invalid')
  const note = { to: 'alice', type: 'a', title: 'b' }
  for (const claims of [{ exp: now() + 1e8 }, { iat: now() + 3600, exp: now() + 7200 }]) {
    const token = userToken('a-service', { scope: 'publish', ...claims })
    t.equal((await call(service, 'POST', '/v1/notifications', note, { token })).status, 202)
  }
})
