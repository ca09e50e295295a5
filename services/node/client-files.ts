import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

/** A script or a language file of the client, as it is sent. */
interface ClientFile {
  body: Buffer
  /** Entity tag of the body in identity coding. */
  etag: string
  gzipped(): Buffer
}

interface ClientFiles {
  /** Version of the package `@belfry/client`. */
  version: string
  /** By path below the folder. */
  byName: ReadonlyMap<string, ClientFile>
}

/** Reads the scripts of a folder, its language files and the version in its `package.json`. Without a build of the client there are none. */
export function readClientFiles(folder: URL): ClientFiles {
  try {
    const { version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as { version: string }
    const scripts = readdirSync(folder).filter((name) => name.endsWith('.js'))
    const names = [...scripts, ...readdirSync(new URL('languages/', folder)).map((name) => `languages/${name}`)]
    return { version, byName: new Map(names.map((name) => [name, clientFile(readFileSync(new URL(name, folder)))])) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { version: '', byName: new Map() }
  }
}

/** Returns a script that is compressed at the first request that accepts gzip: many nodes serve no scripts, or are behind a proxy that compresses. */
function clientFile(body: Buffer): ClientFile {
  let compressed: Buffer | undefined
  return {
    body,
    etag: createHash('sha256').update(body).digest('base64url').slice(0, 20),
    gzipped() {
      compressed ??= gzipSync(body, { level: 9 })
      return compressed
    }
  }
}

/** Returns true if an `Accept-Encoding` takes gzip: by name or by `*`, with a weight above 0. */
export function acceptsGzip(acceptEncoding: string): boolean {
  const weights = new Map(
    acceptEncoding.split(',').map((entry) => {
      const [coding = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase())
      const weight = parameters.find((parameter) => parameter.startsWith('q='))
      return [coding, weight === undefined ? 1 : Number(weight.slice(2))]
    })
  )
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}

/** Returns true if an `If-None-Match` names the tag, weak or strong, or is `*` (RFC 9110 §13.1.2). */
export function matchesTag(ifNoneMatch: string, etag: string): boolean {
  const tags = ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes('*') || tags.includes(etag)
}
