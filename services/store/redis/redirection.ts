/** A reply by which a server of a Cluster says that it did not carry a command out. */
export type Redirection =
  /** The slot belongs to the server at `endpoint`. */
  | { kind: 'moved'; slot: number; endpoint: string }
  /** The slot is being moved, and these keys are at `endpoint` already: for this command only. */
  | { kind: 'ask'; endpoint: string }
  /** The slot is being moved, and some of the keys are at one server, some at the other. */
  | { kind: 'again' }

/** Returns undefined for an error that is no redirection. */
export function redirectionOf(error: unknown): Redirection | undefined {
  if (!(error instanceof Error)) return undefined
  if (error.message.startsWith('TRYAGAIN')) return { kind: 'again' }
  const [, word, slot, endpoint = ''] = /^(MOVED|ASK) (\d+) (\S+)$/.exec(error.message) ?? []
  if (word === undefined) return undefined
  return word === 'MOVED' ? { kind: 'moved', slot: Number(slot), endpoint } : { kind: 'ask', endpoint }
}
