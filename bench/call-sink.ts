import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

// A receiver of pushes and webhooks in a process of its own. It answers 201, except below /hang, where it answers nothing.

const server = createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    if (request.url?.startsWith('/hang') !== true) response.writeHead(201).end()
  })
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
