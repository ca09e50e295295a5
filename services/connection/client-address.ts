import { BlockList, isIP } from 'node:net'

/** An IPv4 address with a port, or an IPv6 address in brackets with or without a port, as some proxies write them. */
const WITH_PORT = /^(?:(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}|\[([^\]]+)\](?::\d{1,5})?)$/

/** An IPv4 address as an IPv6 socket shows it. */
const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i

/** Returns the address of an entry of `X-Forwarded-For`, without a port and brackets; '' if the entry has none. */
export function addressIn(entry: string): string {
  const match = WITH_PORT.exec(entry.trim())
  const address = match?.[1] ?? match?.[2] ?? entry.trim()
  return isIP(address) === 0 ? '' : (MAPPED.exec(address)?.[1] ?? address)
}

/**
 * Returns the address of a client for rate limits, the log and lists of connections.
 *
 * @param forwarded the last entry of the header that is not a trusted proxy; undefined once the peer reset the socket
 * @param peer the address of the socket, used if the header has no address
 */
export function clientAddress(forwarded: string | undefined, peer: string | undefined): string {
  return addressIn(forwarded ?? '') || addressIn(peer ?? '') || (forwarded ?? '')
}

/**
 * Returns a function that tells whether an address is a trusted proxy.
 *
 * @param networks addresses and CIDRs
 */
export function proxyTrust(networks: string[]): (entry: string) => boolean {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return (entry) => {
    const address = addressIn(entry)
    return address !== '' && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  }
}
