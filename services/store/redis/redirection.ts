/** Reply of a Cluster's server that refused a command because of its slot. The command was not carried out. */
type Redirection =
  /** The slot belongs to the server at `endpoint`. */
  | { kind: 'moved'; slot: number; endpoint: string }
  /** The slot is being moved, and these keys are at `endpoint` already. Concerns this command only. */
  | { kind: 'ask'; endpoint: string }
  /** The slot is being moved, and each of the two servers has some of the keys. */
  | { kind: 'again' }

/** Returns undefined for an error that is no redirection. */
export function redirectionOf(error: unknown): Redirection | undefined {
  if (!(error instanceof Error)) return undefined
  if (error.message.startsWith('TRYAGAIN')) return { kind: 'again' }
  const [, word, slot, endpoint = ''] = /^(MOVED|ASK) (\d+) (\S+)$/.exec(error.message) ?? []
  if (word === undefined) return undefined
  return word === 'MOVED' ? { kind: 'moved', slot: Number(slot), endpoint } : { kind: 'ask', endpoint }
}
