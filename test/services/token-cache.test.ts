import t from 'tap'
import { cachedVerifier } from '../../services/auth/token-cache.ts'
import { type Claims, TokenError } from '../../services/auth/tokens.ts'

t.test('a token is verified once a minute, and never after it expired', async (t) => {
  let now = 1_000_000
  let verified = 0
  const claims = (token: string): Claims => ({ sub: token, issuedAt: 0, expiresAt: token === 'short' ? 1_010_000 : 9_000_000, scopes: [] })
  const verify = cachedVerifier(
    async (token) => {
      verified += 1
      if (token === 'bad' || claims(token).expiresAt <= now) throw new TokenError('token_invalid')
      return claims(token)
    },
    () => now,
    () => now
  )
  t.same(await verify('long'), claims('long'))
  t.same(await verify('long'), claims('long'))
  t.equal(verified, 1)
  await verify('short')
  now += 10_000
  await t.rejects(verify('short'), new TokenError('token_invalid'))
  await verify('long')
  t.equal(verified, 3)
  now += 50_000
  await verify('long')
  t.equal(verified, 4)
  await t.rejects(verify('bad'))
  await t.rejects(verify('bad'))
  t.equal(verified, 6, 'a refusal is not kept')
})

t.test('no more than a thousand are kept: the oldest goes', async (t) => {
  const verified: string[] = []
  const verify = cachedVerifier(async (sub) => {
    verified.push(sub)
    return { sub, issuedAt: 0, expiresAt: Number.MAX_SAFE_INTEGER, scopes: [] }
  })
  for (let n = 0; n <= 1000; n++) await verify(`token-${n}`)
  verified.length = 0
  await verify('token-1')
  await verify('token-0')
  t.same(verified, ['token-0'])
})

t.test('a wall clock that is set back does not keep a token longer', async (t) => {
  let wall = 10_000_000
  let elapsed = 0
  let verified = 0
  const verify = cachedVerifier(
    async (sub) => {
      verified += 1
      return { sub, issuedAt: 0, expiresAt: Number.MAX_SAFE_INTEGER, scopes: [] }
    },
    () => wall,
    () => elapsed
  )
  await verify('a')
  wall -= 3_600_000
  elapsed += 60_000
  await verify('a')
  t.equal(verified, 2)
})
