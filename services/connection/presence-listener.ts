/** Hears of users who arrive on this node and leave it. */
export interface PresenceListener {
  /** Called after the first attach of each connection. Calls after the first one have no effect until the user leaves. */
  arrived(user: string): void
  /** Called after each further attach of a connection. The store may have counted the node as dead, or have lost data, since the one before. */
  reattached(user: string): void
  /** Called when the last connection ends, before the store is told. Resolves when the store may be told; undefined: at once. */
  left(user: string): Promise<void> | undefined
}
