import { BlockList, isIP } from 'node:net'

/** An IPv4 address with a port, an IPv6 address in brackets with or without one: both as some proxies write them. */
const WITH_PORT = /^(?:(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}|\[([^\]]+)\](?::\d{1,5})?)$/

/** An IPv4 address as a socket of IPv6 shows it. */
const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i

/** Returns the address of an entry of `X-Forwarded-For`, without a port and brackets; '' when the entry has none. */
export function addressIn(entry: string): string {
  const match = WITH_PORT.exec(entry.trim())
  const address = match?.[1] ?? match?.[2] ?? entry.trim()
  return isIP(address) === 0 ? '' : (MAPPED.exec(address)?.[1] ?? address)
}

/**
 * Returns the address that a client is counted and shown by.
 *
 * @param forwarded the last address that no trusted proxy has, as the header has it; undefined once the peer reset the socket
 * @param peer the address of the socket, which counts when the header has none
 */
export function clientAddress(forwarded: string | undefined, peer: string | undefined): string {
  return addressIn(forwarded ?? '') || addressIn(peer ?? '') || (forwarded ?? '')
}

/**
 * Returns a function that says whether an address is one of the trusted proxies.
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
