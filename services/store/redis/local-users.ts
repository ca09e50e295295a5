import type { ConnectionInfo } from '../store.ts'
import { BUCKETS, bucketOf } from './keys.ts'

/** What this node holds in the registry, and where the registry may hold something else because a call's outcome is not known. */
export class LocalUsers {
  readonly #held = new Map<string, ConnectionInfo[]>()
  readonly #byBucket: Set<string>[] = Array.from({ length: BUCKETS }, () => new Set())
  readonly #doubtful = new Set<string>()

  /** The registry is known to hold these connections. */
  set(user: string, connections: ConnectionInfo[]): void {
    this.#doubtful.delete(user)
    this.#keep(user, connections)
  }

  /** The registry should hold these connections, and is not known to. */
  want(user: string, connections: ConnectionInfo[]): void {
    this.#doubtful.add(user)
    this.#keep(user, connections)
  }

  get(user: string): ConnectionInfo[] {
    return this.#held.get(user) ?? []
  }

  users(bucket?: number): string[] {
    return bucket === undefined ? [...this.#held.keys()] : [...(this.#byBucket[bucket] as Set<string>)]
  }

  /** Users whose registration has to be written again. */
  doubtful(): string[] {
    return [...this.#doubtful]
  }

  isDoubtful(user: string): boolean {
    return this.#doubtful.has(user)
  }

  /** Buckets with users here. */
  buckets(): number[] {
    return this.#byBucket.flatMap((users, bucket) => (users.size > 0 ? [bucket] : []))
  }

  #keep(user: string, connections: ConnectionInfo[]): void {
    const bucket = this.#byBucket[bucketOf(user)] as Set<string>
    if (connections.length === 0) {
      this.#held.delete(user)
      bucket.delete(user)
    } else {
      this.#held.set(user, connections)
      bucket.add(user)
    }
  }
}
