/** The counts of a node. They are plain numbers, which `Metrics` reads at each scrape. */
export class Counters {
  connects = 0
  /** Closed connections by close code. */
  disconnects = new Map<number, number>()
  upgradesRefused = 0
  accepted = 0
  parked = 0
  scheduled = 0
  replayed = 0
  rejected = 0
  released = 0
  folded = 0
  /** Scheduled notifications that were published at their time. */
  delivered = 0
  expired = 0
  answered = 0
  recalled = 0
  wakeUps = 0
  /** Row frames handed to sockets, live and replayed. */
  deliveredLive = 0
  deliveredReplay = 0
  reads = 0
  acks = 0
  badAcks = 0
  acksFailed = 0
  gaps = new Map<string, number>()
  /** Calls that left Belfry, by `<push | webhook> <result>`. */
  calls = new Map<string, number>()
  /** Calls that steps of this node made. */
  callsMade = 0
  /** Calls that steps of this node dropped because their user had too many. */
  callsEvicted = 0
  /** Members of broadcasts whose batches this node carried out, by result. A batch that is repeated counts again. */
  broadcastMembers = new Map<string, number>()
  logLinesDropped = 0
  socketsDropped = 0
}

export function increment<K>(counts: Map<K, number>, key: K, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}
