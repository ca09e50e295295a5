import type { AddressInfo } from 'node:net'
import { signToken } from '../auth/signing.ts'

/** What a start on a secret of Belfry's own prints: commands ready to paste, each with a token that holds a day. */
export function greeting(address: AddressInfo, secret: string, secretFile: string, made: boolean, demo: boolean): string {
  const named = address.family === 'IPv6' ? `[${address.address}]` : address.address
  const host = ['0.0.0.0', '::', '127.0.0.1'].includes(address.address) ? 'localhost' : named
  const origin = `http://${host}:${address.port}`
  const lines = [
    made ? `Made a secret for tokens: ${secretFile} (mode 0600)` : `Tokens are signed with the secret in ${secretFile}`,
    '',
    'Listen, in one terminal:',
    `  npx belfry listen --url ${origin} --user alice`,
    'or from any WebSocket client:',
    `  ${origin.replace('http', 'ws')}/v1/ws?token=${signToken(secret, 'alice')}`,
    '',
    'Publish, in another:',
    `  curl -X POST ${origin}/v1/notifications \\`,
    `    -H 'authorization: Bearer ${signToken(secret, 'try-it-out', 'publish')}' \\`,
    "    -H 'content-type: application/json' \\",
    `    -d '{"to":"alice","type":"hello","title":"Hello from Belfry"}'`,
    '',
    `API:  ${origin}/docs`,
    ...(demo ? [`Demo: ${origin}/demo`] : [])
  ]
  return `\n${lines.join('\n')}\n\n`
}
