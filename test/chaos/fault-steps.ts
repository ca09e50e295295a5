import { setTimeout as pause } from 'node:timers/promises'
import slotOf from 'cluster-key-slot'
import { bucketOf, Keys } from '../../services/store/redis/keys.ts'
import type { Passage, TcpProxy, Way } from '../fixtures/tcp-proxy.ts'
import type { Fault } from './schedule.ts'

/** Returns an item by a number from 0 to below 1. */
export function pickOf<Item>(items: Item[], pick: number): Item | undefined {
  return items[Math.floor(pick * items.length)]
}

/**
 * Makes a client silent. An event stream is reset instead: clients send nothing on it, so that the service could not detect the silence.
 */
export function silence(passage: Passage, ...ways: Way[]): void {
  if (passage.sent('get /v1/sse')) passage.reset()
  else passage.blackHole(...ways)
}

/** Returns the ways of a link that a fault holds back. */
export function holedWays({ ms }: Fault): Way[] {
  return ([['up'], ['down'], ['up', 'down']] as const)[ms % 3]?.slice() ?? []
}

/** Drops all bytes of a link, also those of new connections, and cuts the connections afterwards. */
export async function hole(link: TcpProxy, ms: number, ...ways: Way[]): Promise<void> {
  const passages = link.passages()
  for (const passage of passages) passage.blackHole(...ways)
  link.silence(true)
  await pause(ms)
  link.silence(false)
  for (const passage of new Set([...passages, ...link.passages()])) passage.cut()
}

/** Returns the Cluster slot of a user's keys. */
export function slotOfUser(user: string): number {
  const [, tag = ''] = /\{(.*?)\}/.exec(new Keys('belfry').due[bucketOf(user)] as string) ?? []
  return slotOf(tag)
}
