import { errors } from '../../errors.ts'
import { userHash } from '../../users.ts'
import type { DamageRecord } from './codec.ts'
import { isFull, type OpenDatabase, type Operation } from './database.ts'
import { describe, openFault, openFolder } from './folder.ts'
import { checkFiles } from './level-files.ts'
import { OverlayDatabase } from './overlay.ts'
import { hasRoom } from './room.ts'
import { Session, type SessionDatabase } from './session.ts'

/** The log of the store, for operators. */
export interface StoreLog {
  error(details: object, message: string): void
  warn(details: object, message: string): void
}

interface KeeperOptions {
  folder: string
  cacheBytes: number
  openDatabase: OpenDatabase
  /** Returns the store's clock, Unix milliseconds. */
  clock(): number
  /** Age of rows at which they are trimmed, milliseconds. Older damage took only rows that would be trimmed by now. */
  retentionMs: number
  log: StoreLog | undefined
  /** Called when the status of the store changed. */
  onStatus(): void
}

/**
 * Keeps a session on the data folder open.
 *
 * - A failed write ends the session: the state in memory is dropped, and the folder is reopened until a write succeeds.
 * - If the write failed because the disk is full, the database stays open for reads, and small changes are kept in memory until there is room.
 * - Damage is logged with the file, and with a hash of the user. Data that cannot be read make the node not ready.
 */
export class SessionKeeper {
  readonly #options: KeeperOptions
  #session: Session | undefined
  #failure = { reason: 'not opened', full: false }
  #damage = ''
  #overlay: OverlayDatabase | undefined
  /** Changes that were made while the disk was full, and that the next opening writes. */
  #unwritten: Operation[] = []
  #healing: Promise<void> | undefined
  #checking: Promise<string> | undefined
  /** The tables were checked by an earlier opening. */
  #areTablesChecked = false

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  get session(): Session | undefined {
    return this.#session
  }

  /** The disk is full: steps that make the log grow are refused. */
  get full(): boolean {
    return this.#overlay !== undefined || (this.#session === undefined && this.#failure.full)
  }

  /** The data that cannot be read, for operators; '' if all can. */
  get damage(): string {
    return this.#damage
  }

  get reason(): string {
    return this.#session === undefined ? this.#failure.reason : ''
  }

  /** Opens the folder. If the disk is full, resolves without a session: `heal` retries. */
  async open(): Promise<void> {
    try {
      this.#session = await this.#openSession()
    } catch (error) {
      if (!isFull(error)) throw error
      this.#failure = { reason: (error as Error).message, full: true }
    }
  }

  /** Returns the error for a step that cannot be carried out now. */
  refusal(cause?: unknown): Error {
    const Refusal = this.full ? errors.StoreFull : errors.StoreUnavailable
    return new Refusal({ cause })
  }

  /** Reopens the folder after a failure, or after the disk was full if there is room now. Call it periodically. */
  heal(): void {
    if (this.#healing !== undefined || (this.#session !== undefined && this.#overlay === undefined)) return
    this.#healing = this.#heal()
      .catch((error: unknown) => {
        this.#failure = { reason: (error as Error).message, full: isFull(error) }
      })
      .finally(() => {
        this.#healing = undefined
      })
  }

  async close(): Promise<void> {
    await this.#healing
    await this.#checking
    const session = this.#session
    this.#session = undefined
    this.#overlay = undefined
    this.#failure = { reason: 'closed', full: false }
    await session?.close()
  }

  async #heal(): Promise<void> {
    const overlay = this.#overlay
    if (overlay !== undefined) {
      if (!(await hasRoom(this.#options.folder))) return
      const session = this.#session
      this.#failure = { reason: 'the folder is being reopened', full: true }
      this.#session = undefined
      await session?.close()
      this.#overlay = undefined
      this.#unwritten = overlay.operations
    }
    this.#session = await this.#openSession()
    this.#options.onStatus()
  }

  async #openSession(): Promise<Session> {
    const { folder, openDatabase, clock, retentionMs, log } = this.#options
    const opened = await openFolder(openDatabase, folder, clock(), !this.#areTablesChecked)
    try {
      if (this.#unwritten.length > 0) await opened.database.write(this.#unwritten)
      this.#unwritten = []
      const { damage, isNewDamage, damagedTables } = opened
      if (isNewDamage) {
        const message = 'the data folder is damaged: every user is told that notifications may be missing'
        log?.error({ folder, where: damage?.where }, message)
      }
      if (damagedTables.length > 0) this.#reportUnreadable(damagedTables.map(describe).join('; '))
      const isRecent = damage !== undefined && clock() - damage.at < retentionMs
      const session = await this.#sessionOver(opened.database, isRecent ? damage : undefined)
      this.#areTablesChecked = true
      return session
    } catch (error) {
      await opened.database.close().catch(() => undefined)
      throw openFault(folder, error)
    }
  }

  #sessionOver(database: SessionDatabase, damage: DamageRecord | undefined): Promise<Session> {
    return Session.open({
      database,
      cacheBytes: this.#options.cacheBytes,
      damage,
      onFailure: (cause) => this.#endSession(database, damage, cause),
      onDamagedUser: (user, reason, unreadable) => void this.#reportDamagedUser(user, reason, unreadable),
      onReadFailure: (cause) => this.#reportUnreadable((cause as Error).message.replaceAll(/\/\S*\//g, ''))
    })
  }

  /** Ends the session after a failed write. Returns the error for the callers that wait for that write. */
  #endSession(database: SessionDatabase, damage: DamageRecord | undefined, cause: unknown): Error {
    this.#session = undefined
    const full = isFull(cause)
    this.#failure = { reason: `a write failed: ${(cause as Error).message}`, full }
    this.#healing = full && this.#overlay === undefined ? this.#stayReadable(database, damage) : this.#closeDatabase(database)
    const refusal = this.refusal(cause)
    this.#healing.finally(() => {
      this.#healing = undefined
      this.#options.onStatus()
    })
    return refusal
  }

  /** Opens a session over the same database that keeps changes in memory. */
  async #stayReadable(database: SessionDatabase, damage: DamageRecord | undefined): Promise<void> {
    const overlay = new OverlayDatabase(database)
    try {
      this.#session = await this.#sessionOver(overlay, damage)
      this.#overlay = overlay
    } catch {
      await this.#closeDatabase(database)
    }
  }

  async #closeDatabase(database: SessionDatabase): Promise<void> {
    if (this.#overlay !== undefined) this.#unwritten = this.#overlay.operations
    this.#overlay = undefined
    await database.close().catch(() => undefined)
  }

  async #reportDamagedUser(user: string, reason: string, unreadable: boolean): Promise<void> {
    const where = await this.#damagedFiles()
    if (unreadable) this.#reportUnreadable(where || reason)
    const hash = userHash(user)
    const { folder, log } = this.#options
    log?.error(
      { userHash: hash, folder, file: where || 'not known: no file has a wrong checksum', reason },
      'the data of a user is damaged: their log starts afresh'
    )
  }

  #reportUnreadable(where: string): void {
    if (this.#damage === where) return
    this.#damage = where
    const { folder, log, onStatus } = this.#options
    log?.error({ folder, where }, 'a part of the data folder cannot be read: stop the service, and run belfry doctor --repair')
    onStatus()
  }

  /** Describes the damaged files; '' if there are none. Calls within a minute share one check. */
  #damagedFiles(): Promise<string> {
    this.#checking ??= checkFiles(this.#options.folder)
      .then((damage) =>
        damage
          .filter(({ tail }) => !tail)
          .map(describe)
          .join('; ')
      )
      .catch((error: unknown) => `the files cannot be read: ${(error as Error).message}`)
      .finally(() => setTimeout(() => (this.#checking = undefined), 60_000).unref())
    return this.#checking
  }
}
