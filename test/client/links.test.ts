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
