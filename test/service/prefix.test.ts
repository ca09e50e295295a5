import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect as connectTcp } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { serviceToken, startService, TestClient, userToken } from '../helper.ts'

const PREFIX = '/tools/belfry'

/** Starts a proxy that removes a path prefix, as `handle_path` of Caddy and `proxy_pass` of nginx do. */
async function startProxy(t: Test, target: string): Promise<string> {
  const { hostname, port } = new URL(target)
  const server = createServer((incoming, outgoing) => {
    if (incoming.url?.startsWith(`${PREFIX}/`) !== true) return void outgoing.writeHead(404).end('outside of the prefix')
    const { method, headers } = incoming
    const forwarded = request({ hostname, port, method, path: incoming.url.slice(PREFIX.length), headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(outgoing)
    })
    incoming.pipe(forwarded)
  })
  server.on('upgrade', ({ url = '', rawHeaders }, socket) => {
    const upstream = connectTcp(Number(port), hostname)
    const lines = rawHeaders.flatMap((name: string, at: number) => (at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : []))
    upstream.write(`GET ${url.slice(PREFIX.length)} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
    upstream.pipe(socket).pipe(upstream)
    for (const end of [socket, upstream]) end.on('error', () => end.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${PREFIX}`
}

/** Returns the addresses in `src` and `href` of a page, resolved as in a browser. */
function linksOf(html: string, page: string): string[] {
  return [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, link = '']) => new URL(link, page).href)
}

for (const isNamed of [false, true]) {
  t.test(`under a path prefix, ${isNamed ? 'with' : 'without'} PUBLIC_URL: the docs, the demo and OpenAPI work`, async (t) => {
    const plain = await startService(t, { DEMO: 'true' })
    const first = await startProxy(t, plain.url)
    const named = isNamed ? await startService(t, { DEMO: 'true', PUBLIC_URL: `${first}/` }) : plain
    const base = isNamed ? first : await startProxy(t, named.url)
    if (isNamed) t.equal(named.app.config.PUBLIC_URL, first, 'without a slash at its end')

    for (const path of [
      '/docs',
      '/docs/',
      '/docs/socket',
      '/docs/guide/getting-started',
      '/docs/guide/guides/browser-sdk',
      '/demo',
      '/demo/'
    ]) {
      const page = base + path
      const answer = await fetch(page)
      t.equal(answer.status, 200, path)
      const links = linksOf(await answer.text(), answer.url)
      t.ok(links.length > 3, path)
      for (const link of links.filter((link) => link.startsWith('http://127.0.0.1'))) {
        const linked = await fetch(link)
        await linked.arrayBuffer()
        t.equal(linked.status, 200, link)
      }
    }
    const openapiUrl = `${base}/docs/json`
    const document = (await (await fetch(openapiUrl)).json()) as { servers: { url: string }[] }
    const server = new URL(document.servers[0]?.url ?? '', openapiUrl).href.replace(/\/$/, '')
    t.equal(server, base)
    const headers = { authorization: `Bearer ${serviceToken()}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ to: 'alice', type: 't', title: 'x' })
    const published = await fetch(`${server}/v1/notifications`, { method: 'POST', headers, body })
    t.equal(published.status, 202)
    await published.arrayBuffer()
    const yaml = await (await fetch(`${base}/docs/yaml`)).text()
    t.match(yaml, /servers:/)
  })
}

t.test('AsyncAPI names the host, the protocol and the prefix of PUBLIC_URL', async (t) => {
  const hostOf = async (environment: Record<string, string>, headers: Record<string, string> = {}) => {
    const service = await startService(t, environment)
    const document = (await (await fetch(`${service.url}/docs/asyncapi.json`, { headers })).json()) as { servers: { here: object } }
    const { host, protocol, pathname } = document.servers.here as Record<string, string>
    return { service, here: { host, protocol, pathname } }
  }
  const { here, service } = await hostOf({})
  t.same(here, { host: new URL(service.url).host, protocol: 'ws', pathname: undefined })
  t.same((await hostOf({ PUBLIC_URL: 'https://example.com/tools/belfry' })).here, {
    host: 'example.com',
    protocol: 'wss',
    pathname: '/tools/belfry'
  })
  t.same((await hostOf({ PUBLIC_URL: 'http://example.com:8080' })).here, { host: 'example.com:8080', protocol: 'ws', pathname: undefined })
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'app.example' }
  t.match((await hostOf({ TRUST_PROXY: '127.0.0.1' }, forwarded)).here, { host: 'app.example', protocol: 'wss' })

  const base = await startProxy(t, service.url)
  const socket = new WebSocket(`${base.replace('http', 'ws')}/v1/ws?token=${userToken('alice')}`)
  t.teardown(() => socket.terminate())
  t.match(await new TestClient(socket, false).next('hello'), { user: 'alice' })
})
