import type { DeviceJournal, Journal } from './journal.ts'

/** Longest lateness, milliseconds: the check of the wake-up counters finds a lost wake-up within two seconds, and a read follows. */
export const LATE_MS = 2500
/** Time in which a device that reads at normal speed again works off its backlog, milliseconds. */
const SETTLE_MS = 3000

export interface Lateness {
  breaches: string[]
  /** Number of deliveries that no fault excuses. The other fields are their lateness in milliseconds. */
  measured: number
  p50: number
  p99: number
  max: number
}

/**
 * Measures the time from each row to its display, where no fault excuses a delay: outside of the windows of the run, and with the device
 * connected and brisk throughout. If wake-ups were swallowed, the time starts at the end of that fault.
 */
export function lateness(journal: Journal): Lateness {
  const times = new Map<string, number>()
  for (const { user, rows } of journal.logs) {
    for (const { kind, id, at } of rows) if (kind === 'n') times.set(`${user} ${id}`, at)
  }
  const breaches: string[] = []
  const late: number[] = []
  for (const device of journal.devices) {
    const excused = excuses(device, journal)
    for (const event of device.events) {
      if (event.type !== 'shown') continue
      const at = times.get(`${device.user} ${event.id}`)
      const since = at === undefined ? undefined : excused(at, event.at)
      if (since === undefined) continue
      const ms = event.at - since
      late.push(ms)
      if (ms > LATE_MS + journal.stallMs) breaches.push(`${device.user} ${device.device}: ${event.eventId} was shown ${ms} ms late`)
    }
  }
  late.sort((a, b) => a - b)
  const quantile = (part: number): number => late[Math.min(late.length - 1, Math.floor(part * late.length))] ?? 0
  return { breaches, measured: late.length, p50: quantile(0.5), p99: quantile(0.99), max: late.at(-1) ?? 0 }
}

/** Returns a function that gives the time from which lateness counts for the device, or undefined if the delivery is excused. */
export function excuses(device: DeviceJournal, journal: Journal): (from: number, to: number) => number | undefined {
  const windows = journal.windows.filter(({ wakeUpsOnly, clockOnly }) => wakeUpsOnly === undefined && clockOnly === undefined)
  const swallows = journal.windows.filter(({ wakeUpsOnly }) => wakeUpsOnly)
  const spans: [from: number, to: number][] = windows.filter(({ node }) => node === undefined).map(({ from, to }) => [from, to])
  let node = -1
  let since = 0
  let isPrompt = false
  const served: [node: number, from: number, to: number][] = []
  const setPrompt = (at: number, value: boolean): void => {
    if (isPrompt && !value) served.push([node, since, at])
    isPrompt = value
    since = at
  }
  let isCaughtUp = false
  let isSlow = false
  for (const event of device.events) {
    if (event.type === 'caughtUp') {
      isCaughtUp = true
      node = event.node
      if (!isSlow) setPrompt(isPrompt ? since : event.at, true)
    } else if (event.type === 'connecting' || event.type === 'connected') {
      isCaughtUp = false
      setPrompt(event.at, false)
    } else if (event.type === 'slow') {
      isSlow = true
      setPrompt(event.at, false)
    } else if (event.type === 'brisk') {
      isSlow = false
      if (isCaughtUp) setPrompt(event.at + SETTLE_MS, true)
    }
  }
  setPrompt(Number.MAX_SAFE_INTEGER, false)
  for (const window of windows) {
    if (window.node === undefined) continue
    for (const [server, from, to] of served) {
      if (server === window.node && from < window.to && to > window.from) spans.push([window.from, window.to])
    }
  }
  return (from, to) => {
    const during = served.find(([, start, end]) => from >= start && to <= end)
    if (during === undefined || spans.some(([start, end]) => from < end && to > start)) return undefined
    const ends = swallows
      .filter((swallow) => (swallow.node === undefined || swallow.node === during[0]) && swallow.from < to && swallow.to <= to)
      .map((swallow) => swallow.to)
    return Math.max(from, ...ends)
  }
}
