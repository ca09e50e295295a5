import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry as PrometheusRegistry } from 'prom-client'
import type { Counters } from './counters.ts'

/** Metrics of plain counters. `docs/reference/metrics.md` lists every metric, and a test holds the two equal. */
const COUNTERS: [name: string, help: string, read: (counters: Counters) => number][] = [
  ['belfry_connects_total', 'Connections accepted', (c) => c.connects],
  ['belfry_upgrades_refused_total', 'Upgrades closed at once with 4001 or 4005', (c) => c.upgradesRefused],
  ['belfry_accepted_total', 'Notifications appended at once, per recipient', (c) => c.accepted],
  ['belfry_parked_total', 'Notifications parked, per recipient', (c) => c.parked],
  ['belfry_scheduled_total', 'Notifications scheduled, per recipient', (c) => c.scheduled],
  ['belfry_replayed_total', 'Repeats of a publish, found by the Idempotency-Key, per recipient', (c) => c.replayed],
  ['belfry_rejected_total', 'Publishes refused, per recipient', (c) => c.rejected],
  ['belfry_released_total', 'Rows that releases moved to the log, by this node', (c) => c.released],
  ['belfry_folded_total', 'Parked notifications folded into digests, by this node', (c) => c.folded],
  ['belfry_scheduled_delivered_total', 'Scheduled notifications published at their time, by this node', (c) => c.delivered],
  ['belfry_expired_total', 'Notifications that the clock of their user removed because they expired, by this node', (c) => c.expired],
  ['belfry_answered_total', 'First answers to notifications, taken by this node', (c) => c.answered],
  ['belfry_recalled_total', 'Notifications recalled', (c) => c.recalled],
  ['belfry_calls_made_total', 'Pushes and webhooks that became due, by the steps of this node', (c) => c.callsMade],
  ['belfry_calls_evicted_total', 'Calls dropped because 1,000 of their user waited, by the steps of this node', (c) => c.callsEvicted],
  ['belfry_wake_ups_total', 'Wake-ups received', (c) => c.wakeUps],
  ['belfry_delivered_live_total', 'Row frames sent on a wake-up', (c) => c.deliveredLive],
  ['belfry_delivered_replay_total', 'Row frames sent from the log', (c) => c.deliveredReplay],
  ['belfry_reads_total', 'Reads of a log for a connection', (c) => c.reads],
  ['belfry_acks_total', 'Acknowledgements accepted', (c) => c.acks],
  ['belfry_bad_acks_total', 'Acknowledgements of rows that were never sent', (c) => c.badAcks],
  ['belfry_acks_failed_total', 'Cursor writes that failed; they are retried', (c) => c.acksFailed],
  ['belfry_log_lines_dropped_total', 'Log lines dropped because stdout accepts no data', (c) => c.logLinesDropped],
  ['belfry_sockets_dropped_total', 'TCP connections dropped because the file descriptors are used up', (c) => c.socketsDropped]
]

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/** The Prometheus metrics of the node. The values of a label are bounded: never a user, never an id. */
export class Metrics {
  readonly #registry = new PrometheusRegistry()
  readonly #requests: Histogram<'method' | 'route' | 'status'>
  readonly #leases: Histogram

  constructor(counters: Counters) {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    for (const [name, help, read] of COUNTERS) {
      this.counter(name, help, () => read(counters))
    }
    this.#labelled('belfry_disconnects_total', 'Connections closed, by close code', 'code', () => counters.disconnects)
    this.#labelled('belfry_gaps_total', 'Gaps sent to clients, by reason', 'reason', () => counters.gaps)
    this.#labelled('belfry_broadcast_members_total', 'Members of broadcasts that got a result on this node, by result', 'result', () => {
      return counters.broadcastMembers
    })
    new Counter({
      name: 'belfry_calls_total',
      help: 'Attempts to call push services and webhooks, by kind and result',
      labelNames: ['kind', 'result'],
      registers,
      collect() {
        this.reset()
        for (const [key, count] of counters.calls) {
          const [kind = '', result = ''] = key.split(' ')
          this.inc({ kind, result }, count)
        }
      }
    })
    this.#leases = new Histogram({
      name: 'belfry_call_lease_seconds',
      help: 'Time from when a call was due until a node leased it',
      buckets: [...SECONDS, 10, 60, 600],
      registers
    })
    this.#requests = new Histogram({
      name: 'belfry_http_request_seconds',
      help: 'Time to answer a request, by route and status',
      labelNames: ['method', 'route', 'status'],
      buckets: SECONDS,
      registers
    })
  }

  /** Adds a gauge. `read` is called at each scrape. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read())
      }
    })
  }

  /** Adds a counter. `read` is called at each scrape, and returns the count since the start of the process. */
  counter(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(read())
      }
    })
  }

  /** Observes one request. @param milliseconds time to the answer */
  request(method: string, route: string, status: number, milliseconds: number): void {
    this.#requests.observe({ method, route, status }, milliseconds / 1000)
  }

  /** Observes one leased call. @param waitedMs time since it was due, milliseconds */
  leased(waitedMs: number): void {
    this.#leases.observe(waitedMs / 1000)
  }

  /** Returns the metrics in the Prometheus text format, and its content type. */
  async exposition(): Promise<{ contentType: string; body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() }
  }

  /** Returns the names of Belfry's metrics, without those of the process. */
  names(): string[] {
    return this.#registry
      .getMetricsAsArray()
      .map(({ name }) => name)
      .filter((name) => name.startsWith('belfry_'))
  }

  close(): void {
    this.#registry.clear()
  }

  #labelled<K extends string | number>(name: string, help: string, label: string, read: () => Map<K, number>): void {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const [value, count] of read()) this.inc({ [label]: value }, count)
      }
    })
  }
}
