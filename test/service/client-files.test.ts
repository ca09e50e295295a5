import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { startService } from '../helper.ts'

const FILES = [
  'index.js',
  'inbox.js',
  'bell.js',
  'sw.js',
  'belfry.global.js',
  ...['ar', 'de', 'es', 'fr', 'ja'].map((name) => `languages/${name}.json`)
]
const { version } = JSON.parse(await readFile('packages/client/package.json', 'utf8'))
const sources: Record<string, string> = { 'belfry.global.js': 'packages/client/dist/belfry.global.js' }
const built = (file: string): Promise<Buffer> =>
  readFile(sources[file] ?? `packages/client/dist/${file.endsWith('.js') ? 'complete/' : ''}${file}`)

t.test('the built client is served to pages of every origin', async (t) => {
  const service = await startService(t, { CORS_ORIGIN: 'https://app.example.com' })
  for (const file of FILES) {
    const reply = await fetch(`${service.url}/client/${file}`, {
      headers: { origin: 'https://other.example.com', 'accept-encoding': 'identity' }
    })
    t.equal(reply.status, 200, file)
    t.equal(reply.headers.get('content-type'), `${file.endsWith('.js') ? 'text/javascript' : 'application/json'}; charset=utf-8`)
    t.equal(reply.headers.get('access-control-allow-origin'), '*')
    t.equal(reply.headers.get('cross-origin-resource-policy'), 'cross-origin')
    t.equal(reply.headers.get('x-content-type-options'), 'nosniff')
    const text = await reply.text()
    t.equal(text, String(await built(file)))
    t.notMatch(text, /\bimport\s*(\(|["'{*])|\bfrom\s*["']/, `${file} loads no other`)
  }
  for (const path of [
    'client/package.json',
    'client/react.js',
    'client/..%2fpackage.json',
    'client/',
    'client',
    'client/languages',
    'client/languages/xx.json'
  ]) {
    const reply = await fetch(`${service.url}/${path}`)
    t.equal(reply.status, 404, path)
    t.match(reply.headers.get('content-type'), 'application/problem+json', path)
  }
})

t.test('a file with its version is cached for a year', async (t) => {
  const service = await startService(t)
  const caching = async (query: string): Promise<string | null> =>
    (await fetch(`${service.url}/client/bell.js${query}`)).headers.get('cache-control')
  t.equal(await caching(`?v=${version}`), 'public, max-age=31536000, immutable')
  t.equal(await caching(''), 'public, max-age=300')
  t.equal(await caching('?v=99.0.0'), 'no-cache', 'the content of another version is not bound to its name')
})

t.test('HEAD, conditional requests and compression', async (t) => {
  const service = await startService(t)
  const url = `${service.url}/client/index.js?v=${version}`
  const ask = (headers: Record<string, string>, method = 'GET') =>
    service.app.inject({ method: method as 'GET', url: new URL(url).pathname, headers })
  const plain = await ask({})
  const zipped = await ask({ 'accept-encoding': 'br, gzip;q=0.5' })
  t.equal(plain.headers['content-encoding'], undefined)
  t.equal(zipped.headers['content-encoding'], 'gzip')
  t.equal(zipped.headers.vary, 'accept-encoding')
  t.same(gunzipSync(zipped.rawPayload), plain.rawPayload)
  t.not(zipped.headers.etag, plain.headers.etag, 'each coding has its own tag')
  t.equal((await ask({ 'accept-encoding': 'gzip;q=0, identity' })).headers['content-encoding'], undefined)
  t.equal((await ask({ 'accept-encoding': '*' })).headers['content-encoding'], 'gzip')
  const etag = String(plain.headers.etag)
  for (const given of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const reply = await ask({ 'if-none-match': given })
    t.equal(reply.statusCode, 304, given)
    t.equal(reply.body, '')
    t.equal(reply.headers.etag, etag)
  }
  t.equal((await ask({ 'if-none-match': '"other"' })).statusCode, 200)
  const head = await ask({}, 'HEAD')
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.equal(head.headers['content-length'], String(plain.rawPayload.length))
  t.equal(head.headers.etag, etag)
})
