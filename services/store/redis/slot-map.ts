import { SLOTS } from './keys.ts'

/** By slot: `host:port` of its owner, or undefined if no server owns the slot. */
export type SlotMap = readonly (string | undefined)[]

/** One range of a `CLUSTER SLOTS` reply: first and last slot, the master, its replicas. A server is host, port, id and more. */
type SlotRange = [first: number, last: number, ...servers: [host: string | null, port: number, ...further: unknown[]][]]

/** One server's view of the Cluster: the owner of each slot, and every server it knows. */
export interface SlotView {
  owners: SlotMap
  servers: string[]
}

/**
 * Reads a `CLUSTER SLOTS` reply.
 *
 * @param askedHost the host of the server that replied, for entries without a host
 */
export function readSlots(reply: unknown, askedHost: string): SlotView {
  const owners: (string | undefined)[] = new Array(SLOTS).fill(undefined)
  const servers = new Set<string>()
  for (const [first, last, ...members] of reply as SlotRange[]) {
    const addresses = members.map(([host, port]) => addressText(host, port, askedHost))
    for (const address of addresses) servers.add(address)
    owners.fill(addresses[0], first, last + 1)
  }
  return { owners, servers: [...servers] }
}

/** Returns for each slot the owner that most views name. The view of a server that was partitioned or restarted can be old. */
export function agree(views: readonly SlotView[]): SlotMap {
  const [first] = views
  if (views.length < 2) return first?.owners ?? new Array(SLOTS).fill(undefined)
  return Array.from({ length: SLOTS }, (_, slot) => mostFrequent(views.map(({ owners }) => owners[slot])))
}

/** Returns the slots of an owner as text, such as `0-5460 10923`; for undefined the slots without an owner. */
export function slotsText(map: SlotMap, owner: string | undefined): string {
  const ranges: string[] = []
  for (let slot = 0; slot < SLOTS; slot++) {
    if (map[slot] !== owner) continue
    const first = slot
    while (slot + 1 < SLOTS && map[slot + 1] === owner) slot += 1
    ranges.push(first === slot ? `${first}` : `${first}-${slot}`)
  }
  return ranges.join(' ')
}

/** Returns the address in a redirection. A redirection without a host means the host of the server that replied. */
export function redirectAddress(endpoint: string, askedHost: string): string {
  const colon = endpoint.lastIndexOf(':')
  return addressText(endpoint.slice(0, colon), Number(endpoint.slice(colon + 1)), askedHost)
}

function addressText(host: string | null, port: number, askedHost: string): string {
  return `${host === null || host === '' || host === '?' ? askedHost : host}:${port}`
}

function mostFrequent(owners: (string | undefined)[]): string | undefined {
  let best = owners[0]
  if (owners.every((owner) => owner === best)) return best
  const count = (owner: string | undefined): number => owners.filter((other) => other === owner).length
  for (const owner of owners) if (count(owner) > count(best)) best = owner
  return best
}
