import { join } from 'node:path'
import { placeSecretFile, readSecretFile, SecretError } from '../auth/secret-file.ts'
import { areVapidKeys, makeVapidKeys, type VapidKeys } from './vapid.ts'

const KEYS_FILE = 'vapid-keys'

/**
 * Returns the VAPID keys of an earlier start, or generates a pair and keeps it, as the secret of tokens.
 *
 * @param directory `DATA_DIR`
 * @throws SecretError if the file is not whole, cannot be read or cannot be written
 */
export function generatedVapidKeys(directory: string): VapidKeys {
  const path = join(directory, KEYS_FILE)
  const text = readSecretFile(path, 'the VAPID keys')
  if (text === undefined) {
    const keys = makeVapidKeys()
    return placeSecretFile(path, JSON.stringify(keys), 'the VAPID keys') ? keys : generatedVapidKeys(directory)
  }
  const keys = parse(text)
  if (keys !== undefined) return keys
  throw new SecretError(
    `the VAPID keys in ${path} are damaged. Restore the file, or delete it so that the next start generates others; a browser then subscribes again when its user opens the app`
  )
}

function parse(text: string): VapidKeys | undefined {
  try {
    const { publicKey, privateKey } = JSON.parse(text) as Partial<VapidKeys>
    const keys = { publicKey: String(publicKey), privateKey: String(privateKey) }
    return areVapidKeys(keys) ? keys : undefined
  } catch {
    return undefined
  }
}
