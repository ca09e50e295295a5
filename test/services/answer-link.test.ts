import { randomBytes } from 'node:crypto'
import t from 'tap'
import { readAnswerLink, signAnswerLink } from '../../services/auth/answer-link.ts'

const secret = randomBytes(32)
const now = 1_754_000_000_000
const DAYS_30_MS = 30 * 24 * 3600 * 1000
const target = { user: 'ünï/😀', id: 'qk3mTnHc0Vd5Yx1LbR2w' }

t.test('a link names its notification until the notification expires, for 30 days at most', async (t) => {
  const link = signAnswerLink(secret, target, now + 1000, now)
  t.match(link, /^[\w-]+$/)
  t.same(readAnswerLink(secret, link, now), target)
  t.same(readAnswerLink(secret, link, now + 999), target)
  t.equal(readAnswerLink(secret, link, now + 1000), undefined)
  for (const expiresAt of [undefined, now + 2 * DAYS_30_MS]) {
    const long = signAnswerLink(secret, target, expiresAt, now)
    t.same(readAnswerLink(secret, long, now + DAYS_30_MS - 1), target)
    t.equal(readAnswerLink(secret, long, now + DAYS_30_MS), undefined)
  }
})

t.test('a link with one other character is not valid, nor one of another secret, nor any text', async (t) => {
  const link = signAnswerLink(secret, target, undefined, now)
  for (let at = 0; at < link.length; at++) {
    for (const character of ['A', 'B', '-', '!', '=']) {
      const forged = link.slice(0, at) + character + link.slice(at + 1)
      if (forged !== link && readAnswerLink(secret, forged, now) !== undefined) t.fail(`accepted ${character} at ${at}`)
    }
  }
  for (let length = 0; length < link.length; length++) {
    if (readAnswerLink(secret, link.slice(0, length), now) !== undefined) t.fail(`accepted ${length} characters`)
  }
  for (const text of [`${link}=`, `${link}A`, `${link} `, `\n${link}`, '', '\ud800', 'x'.repeat(1024)]) {
    t.equal(readAnswerLink(secret, text, now), undefined, JSON.stringify(text).slice(0, 20))
  }
  t.equal(readAnswerLink(randomBytes(32), link, now), undefined)
  t.not(signAnswerLink(secret, { ...target, user: 'bob' }, undefined, now), link)
})
