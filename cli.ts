#!/usr/bin/env node
import { text } from 'node:stream/consumers'
import { type Command, readArguments, UsageError } from './cli/arguments.ts'
import { broadcast } from './cli/broadcast.ts'
import { CommandError, sign } from './cli/credentials.ts'
import { doctor } from './cli/doctor.ts'
import { helpText } from './cli/help.ts'
import { listen } from './cli/listen.ts'
import { Output } from './cli/output.ts'
import { publish } from './cli/publish.ts'
import { schedule } from './cli/schedule.ts'
import { topic } from './cli/topic.ts'
import { receiveWebhooks } from './cli/webhook.ts'
import { ConfigError, readClientConfig } from './config.ts'
import { localOrigin } from './services/auth/loopback.ts'
import { PROJECT_VERSION } from './services/node/version.ts'
import { makeVapidKeys } from './services/reach/vapid.ts'

async function run(command: Command, output: Output): Promise<void> {
  switch (command.name) {
    case 'help':
      process.stdout.write(helpText(command.topic))
      return
    case 'version':
      process.stdout.write(`${PROJECT_VERSION}\n`)
      return
    case 'token': {
      const { user, scope, seconds } = command
      const token = sign(readClientConfig(), user, scope, seconds)
      output.data({ token, user, ...(scope === '' ? {} : { scope }), expiresInSeconds: seconds }, token)
      return
    }
    case 'publish': {
      const config = readClientConfig()
      const token = command.token ?? sign(config, 'belfry-cli', 'publish')
      return await publish(command, command.url ?? localOrigin(config.HOST, config.PORT), token, () => text(process.stdin), output)
    }
    case 'schedule': {
      const config = readClientConfig()
      const token = command.token ?? sign(config, 'belfry-cli', 'admin')
      return await schedule(command, command.url ?? localOrigin(config.HOST, config.PORT), token, output)
    }
    case 'topic': {
      const config = readClientConfig()
      const token = command.token ?? sign(config, 'belfry-cli', 'admin')
      return await topic(command, command.url ?? localOrigin(config.HOST, config.PORT), token, () => text(process.stdin), output)
    }
    case 'broadcast': {
      const config = readClientConfig()
      const token = command.token ?? sign(config, 'belfry-cli', 'publish')
      return await broadcast(command, command.url ?? localOrigin(config.HOST, config.PORT), token, output)
    }
    case 'vapid': {
      const keys = makeVapidKeys()
      output.data(keys, `VAPID_PUBLIC_KEY=${keys.publicKey}\nVAPID_PRIVATE_KEY=${keys.privateKey}`)
      return
    }
    case 'webhook':
      return await receiveWebhooks(command, readClientConfig().WEBHOOK_SECRET, output, interruption())
    case 'doctor':
      return await doctor(command, readClientConfig().DATA_DIR, output)
    case 'listen': {
      const config = readClientConfig()
      const { token, user = '' } = command
      const source = { token: () => token ?? sign(config, user, ''), renewable: token === undefined }
      const input = process.stdin.isTTY ? process.stdin : undefined
      return await listen(command, command.url ?? localOrigin(config.HOST, config.PORT), source, output, interruption(), input)
    }
  }
}

/** Returns a signal that Ctrl-C or SIGTERM aborts. A second Ctrl-C ends the process at once. */
function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort())
  return controller.signal
}

async function main(argv: string[]): Promise<number> {
  const output = new Output(argv.includes('--json'), process.stdout, process.stderr)
  try {
    await run(readArguments(argv), output)
    return 0
  } catch (error) {
    if (argv.length === 0) {
      process.stderr.write(helpText(''))
      return 2
    }
    if (error instanceof UsageError) {
      output.error(`belfry: ${error.message}`)
      output.talk('belfry --help shows the commands, belfry <command> --help the options of one')
      return 2
    }
    if (!(error instanceof CommandError || error instanceof ConfigError)) throw error
    output.error(`belfry: ${error.message}`)
    return 1
  }
}

// The reader of a pipe may end first (`belfry listen … | head -1`): the next write fails with EPIPE, which is not an error of the command.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

process.exitCode = await main(process.argv.slice(2))
