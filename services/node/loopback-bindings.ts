import dns from 'node:dns'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, createServer, type Server as TcpServer } from 'node:net'

/**
 * Listens on the other addresses of a name, such as the second loopback of `localhost`, and passes their sockets to the server, so that its
 * options, listeners and deadlines apply to them. An address that cannot be bound is passed to `onError`.
 *
 * @param server listens on one of the addresses
 */
export async function listenOnOthers(server: Server, name: string, onError: (error: Error, address: string) => void): Promise<TcpServer[]> {
  const { address: first, port } = server.address() as AddressInfo
  const others = (await addressesOf(name)).filter((address) => address !== first)
  const listening = others.map(async (host) => {
    const other = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => server.emit('connection', socket))
    try {
      await once(other.listen({ host, port, backlog: 4096 }), 'listening')
      return [other]
    } catch (error) {
      onError(error as Error, host)
      return []
    }
  })
  return (await Promise.all(listening)).flat()
}

function addressesOf(name: string): Promise<string[]> {
  return new Promise((resolve) => {
    dns.lookup(name, { all: true }, (error, addresses) =>
      resolve(error === null ? [...new Set(addresses.map(({ address }) => address))] : [])
    )
  })
}
