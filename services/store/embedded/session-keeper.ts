import { errors } from '../../errors.ts'
import { userHash } from '../../users.ts'
import type { DamageRecord } from './codec.ts'
import { isFull, type OpenDatabase, type Operation } from './database.ts'
import { describe, openFault, openFolder } from './folder.ts'
import { checkFiles } from './level-files.ts'
import { OverlayDatabase } from './overlay.ts'
import { hasRoom } from './room.ts'
import { Session, type SessionDatabase } from './session.ts'

/** Where the store says what an operator must know. */
export interface StoreLog {
  error(details: object, message: string): void
  warn(details: object, message: string): void
}

export interface KeeperOptions {
  folder: string
  cacheBytes: number
  openDatabase: OpenDatabase
  /** Unix milliseconds. */
  clock(): number
  /** Damage older than this took nothing that would still be there, milliseconds. */
  retentionMs: number
  log: StoreLog | undefined
  /** Called when the status changed. */
  onStatus(): void
}

/**
 * Keeps a session on the data folder open.
 *
 * - A write that fails ends the session: what is in memory is forgotten, and the folder is opened anew until a write succeeds.
 * - A write that fails for want of room leaves the database open for reads, with small changes kept in memory, until there is room.
 * - Damage is logged with the file, and with a hash of the user it concerns. What cannot be read makes the node not ready.
 */
export class SessionKeeper {
  readonly #options: KeeperOptions
  #session: Session | undefined
  #failure = { reason: 'not opened', full: false }
  #damage = ''
  #overlay: OverlayDatabase | undefined
  /** Changes made while there was no room, still to be written. */
  #waiting: Operation[] = []
  #healing: Promise<void> | undefined
  #checking: Promise<string> | undefined
  #checked = false

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  get session(): Session | undefined {
    return this.#session
  }

  /** Whether there is no room: what makes the log grow is refused. */
  get full(): boolean {
    return this.#overlay !== undefined || (this.#session === undefined && this.#failure.full)
  }

  /** What cannot be read, for operators; '' when all can. */
  get damage(): string {
    return this.#damage
  }

  get reason(): string {
    return this.#session === undefined ? this.#failure.reason : ''
  }

  /** Opens the folder. Resolves without a session when the disk is full: `heal` tries again. */
  async open(): Promise<void> {
    try {
      this.#session = await this.#openSession()
    } catch (error) {
      if (!isFull(error)) throw error
      this.#failure = { reason: (error as Error).message, full: true }
    }
  }

  refusal(cause?: unknown): Error {
    const Refusal = this.full ? errors.StoreFull : errors.StoreUnavailable
    return new Refusal({ cause })
  }

  /** Opens the folder anew after a failure, and leaves the full state when there is room. To be called from time to time. */
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
      this.#failure = { reason: 'the folder is opened anew', full: true }
      this.#session = undefined
      await session?.close()
      this.#overlay = undefined
      this.#waiting = overlay.operations
    }
    this.#session = await this.#openSession()
    this.#options.onStatus()
  }

  async #openSession(): Promise<Session> {
    const { folder, openDatabase, clock, retentionMs, log } = this.#options
    const opened = await openFolder(openDatabase, folder, clock(), !this.#checked)
    try {
      if (this.#waiting.length > 0) await opened.database.write(this.#waiting)
      this.#waiting = []
      const { damage, found, tables } = opened
      if (found) {
        const message = 'the data folder is damaged: every user is told that notifications may be missing'
        log?.error({ folder, where: damage?.where }, message)
      }
      if (tables.length > 0) this.#cannotRead(tables.map(describe).join('; '))
      const matters = damage !== undefined && clock() - damage.at < retentionMs
      const session = await this.#sessionOver(opened.database, matters ? damage : undefined)
      this.#checked = true
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
      onFailure: (cause) => this.#failed(database, damage, cause),
      onDamagedUser: (user, reason, unreadable) => void this.#damagedUser(user, reason, unreadable),
      onReadFailure: (cause) => this.#cannotRead((cause as Error).message.replaceAll(/\/\S*\//g, ''))
    })
  }

  #failed(database: SessionDatabase, damage: DamageRecord | undefined, cause: unknown): Error {
    this.#session = undefined
    const full = isFull(cause)
    this.#failure = { reason: `a write failed: ${(cause as Error).message}`, full }
    this.#healing = full && this.#overlay === undefined ? this.#stayReadable(database, damage) : this.#letGo(database)
    const refusal = this.refusal(cause)
    this.#healing.finally(() => {
      this.#healing = undefined
      this.#options.onStatus()
    })
    return refusal
  }

  async #stayReadable(database: SessionDatabase, damage: DamageRecord | undefined): Promise<void> {
    const overlay = new OverlayDatabase(database)
    try {
      this.#session = await this.#sessionOver(overlay, damage)
      this.#overlay = overlay
    } catch {
      await this.#letGo(database)
    }
  }

  async #letGo(database: SessionDatabase): Promise<void> {
    if (this.#overlay !== undefined) this.#waiting = this.#overlay.operations
    this.#overlay = undefined
    await database.close().catch(() => undefined)
  }

  async #damagedUser(user: string, reason: string, unreadable: boolean): Promise<void> {
    const where = await this.#check()
    if (unreadable) this.#cannotRead(where || reason)
    const hash = userHash(user)
    const { folder, log } = this.#options
    log?.error(
      { userHash: hash, folder, file: where || 'not known: no file has a wrong checksum', reason },
      'the data of a user is damaged: their log starts afresh'
    )
  }

  #cannotRead(what: string): void {
    if (this.#damage === what) return
    this.#damage = what
    const { folder, log, onStatus } = this.#options
    log?.error({ folder, where: what }, 'a part of the data folder cannot be read: stop the service, and run belfry doctor --repair')
    onStatus()
  }

  /** The damaged files, for one look at a time; '' when none is. */
  #check(): Promise<string> {
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
