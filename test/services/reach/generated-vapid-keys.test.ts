import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SecretError } from '../../../services/auth/secret-file.ts'
import { generatedVapidKeys } from '../../../services/reach/generated-vapid-keys.ts'
import { areVapidKeys, makeVapidKeys } from '../../../services/reach/vapid.ts'
import { temporaryFolder } from '../../helper.ts'

t.test('the keys of Web Push are generated once, and only their owner may read them', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'vapid-keys')
  const keys = generatedVapidKeys(folder)
  t.ok(areVapidKeys(keys))
  t.equal(statSync(file).mode & 0o777, 0o600)
  chmodSync(file, 0o644)
  t.same(generatedVapidKeys(folder), keys)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.notSame(generatedVapidKeys(temporaryFolder(t)), keys)
})

t.test('a damaged file is refused with what to do, and stays', async (t) => {
  const [one, other] = [makeVapidKeys(), makeVapidKeys()]
  for (const damaged of ['', '{', '{}', 'null', '[]', JSON.stringify({ ...one, privateKey: other.privateKey }), '\0'.repeat(150)]) {
    const folder = temporaryFolder(t)
    const file = join(folder, 'vapid-keys')
    writeFileSync(file, damaged)
    t.throws(
      () => generatedVapidKeys(folder),
      new SecretError(`the VAPID keys in ${file} are damaged. Restore the file, or delete it`),
      damaged
    )
    t.equal(readFileSync(file, 'utf8'), damaged)
  }
})
