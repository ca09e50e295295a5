/** The database of the app's origin that pages and the service worker share. */
const DATABASE = 'belfry'
const RECORDS = 'push'

/** A subscription, with all that a service worker needs to answer and to subscribe again. It has no token: nobody can act as the user with it. */
export interface PushRecord {
  /** The scope of the service worker. A worker has one subscription. */
  scope: string
  /** The address of the service. */
  url: string
  publicKey: string
  /** The user who switched push on. */
  user: string
  /** The endpoint that the service knows. */
  endpoint: string
  /** The latest click that opened a new tab, until the SDK in that tab has told it. A message would arrive before the tab handles any. */
  click?: PushClick | undefined
}

/** A click on a pushed notification. */
export interface PushClick {
  id: string
  eventId: string
  url: string
  /** Unix milliseconds. */
  at: number
}

interface DatabaseRequest<T> {
  result: T
  error: unknown
  onsuccess: () => void
  onerror: () => void
}

interface RecordStore {
  getAll(): DatabaseRequest<PushRecord[]>
  put(record: PushRecord): DatabaseRequest<unknown>
  delete(scope: string): DatabaseRequest<unknown>
}

interface Database {
  createObjectStore(name: string, options: { keyPath: string }): void
  transaction(name: string, mode: 'readwrite'): { objectStore(name: string): RecordStore }
  close(): void
}

interface OpenRequest extends DatabaseRequest<Database> {
  onupgradeneeded: () => void
}

const { indexedDB } = globalThis as unknown as { indexedDB: { open(name: string): OpenRequest } }

/** Rejects if the browser refuses to store anything, as in some private windows. */
function settle<T>(request: DatabaseRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

async function use<T>(run: (store: RecordStore) => DatabaseRequest<T>): Promise<T> {
  const opening = indexedDB.open(DATABASE)
  opening.onupgradeneeded = () => opening.result.createObjectStore(RECORDS, { keyPath: 'scope' })
  const database = await settle(opening)
  try {
    return await settle(run(database.transaction(RECORDS, 'readwrite').objectStore(RECORDS)))
  } finally {
    database.close()
  }
}

export async function readRecord(has: (record: PushRecord) => boolean): Promise<PushRecord | undefined> {
  return (await use((store) => store.getAll())).find(has)
}

export async function writeRecord(record: PushRecord): Promise<void> {
  await use((store) => store.put(record))
}

export async function deleteRecord(scope: string): Promise<void> {
  await use((store) => store.delete(scope))
}
