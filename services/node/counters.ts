/** What a node counts. Plain numbers: `plugins/metrics.ts` reads them when it is scraped. */
export class Counters {
  connects = 0
  /** Closed connections by close code. */
  disconnects = new Map<number, number>()
  upgradesRefused = 0
  accepted = 0
  parked = 0
  replayed = 0
  rejected = 0
  released = 0
  folded = 0
  recalled = 0
  wakeUps = 0
  /** Live and replayed row frames handed to sockets. */
  deliveredLive = 0
  deliveredReplay = 0
  reads = 0
  acks = 0
  badAcks = 0
  acksFailed = 0
  gaps = new Map<string, number>()
  logLinesDropped = 0
  socketsDropped = 0
}

export function increment<K>(counts: Map<K, number>, key: K, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}
