import { localOrigin } from '../auth/loopback.ts'
import { signToken } from '../auth/signing.ts'
import { SOCKET_PATH } from '../protocol/index.ts'

interface GreetingFacts {
  /** Address that the server listens on, as Node reports it. */
  address: string
  port: number
  secretFile: string
  /** This start generated the secret; false if an earlier one did. */
  generated: boolean
  /** Signs the tokens in the greeting. Undefined leaves them out, for an output that may be kept. */
  secret: string | undefined
  /** /demo is served. */
  demo: boolean
  /** Webhooks go to the demo, which shows them. */
  showsWebhooks: boolean
}

/** Returns the text of a start on a generated secret: commands ready to paste. Tokens in it are valid for 24 hours. */
export function greeting({ address, port, secretFile, generated, secret, demo, showsWebhooks }: GreetingFacts): string {
  const origin = localOrigin(address, port)
  const lines = [
    generated ? `Generated a secret for tokens: ${secretFile} (mode 0600)` : `Tokens are signed with the secret in ${secretFile}`,
    '',
    'Listen, in one terminal:',
    `  npx belfry listen --url ${origin} --user alice`,
    ...(secret === undefined ? commandsWithoutTokens(origin) : commandsWithTokens(origin, secret)),
    '',
    `API:  ${origin}/docs`,
    ...(demo ? [`Demo: ${origin}/demo`] : []),
    ...(showsWebhooks ? ['      It receives the webhooks, as WEBHOOK_URL is empty'] : [])
  ]
  return `\n${lines.join('\n')}\n\n`
}

function commandsWithTokens(origin: string, secret: string): string[] {
  return [
    'or from any WebSocket client:',
    `  ${origin.replace('http', 'ws')}${SOCKET_PATH}?token=${signToken(secret, 'alice')}`,
    '',
    'Publish, in another:',
    `  curl -X POST ${origin}/v1/notifications \\`,
    `    -H 'authorization: Bearer ${signToken(secret, 'try-it-out', 'publish')}' \\`,
    "    -H 'content-type: application/json' \\",
    `    -d '{"to":"alice","type":"hello","title":"Hello from Belfry"}'`
  ]
}

function commandsWithoutTokens(origin: string): string[] {
  return [
    '',
    'Publish, in another:',
    `  npx belfry publish --url ${origin} --to alice --type hello --title 'Hello from Belfry'`,
    '',
    'Make a token for another client:',
    '  npx belfry token --user alice'
  ]
}
