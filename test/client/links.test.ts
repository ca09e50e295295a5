import t from 'tap'
import { webLink } from '../../packages/client/src/links.ts'

const BASE = 'https://app.example/inbox/page?tab=1'

t.test('http(s) addresses and paths of the page are links; nothing else is', async (t) => {
  t.equal(webLink('https://docs.example/a', BASE), 'https://docs.example/a')
  t.equal(webLink('http://docs.example/a', BASE), 'http://docs.example/a')
  t.equal(webLink('/syncs/77', BASE), 'https://app.example/syncs/77')
  for (const refused of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'https://', undefined]) {
    t.equal(webLink(refused, BASE), undefined, String(refused))
  }
})

t.test('a reference without a scheme never leaves the origin of the page', async (t) => {
  for (const refused of [
    '//evil.example/a',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    ' //evil.example',
    '\n/\n/evil.example/a'
  ]) {
    t.equal(webLink(refused, BASE), undefined, JSON.stringify(refused))
  }
  t.equal(webLink('//app.example/a', BASE), 'https://app.example/a')
  t.equal(webLink('a//b', BASE), 'https://app.example/inbox/a//b')
  t.equal(webLink('?to=//evil.example', BASE), 'https://app.example/inbox/page?to=//evil.example')
  t.equal(webLink('HTTPS://docs.example/a', BASE), 'https://docs.example/a')
})
