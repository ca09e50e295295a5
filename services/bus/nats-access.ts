import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { credsAuthenticator, nkeyAuthenticator, tokenAuthenticator, usernamePasswordAuthenticator } from '@nats-io/transport-node'
import type { NatsAccess } from './nats-link.ts'
import type { NatsSettings } from './nats-settings.ts'

/** Returns the settings as the library takes them. `name` shows in the monitoring of the server. */
export function natsAccess(settings: NatsSettings, name: string): NatsAccess {
  const { servers, token, username, password, credentials, seed, certificates } = settings
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  const authenticators = [
    ...(token === '' ? [] : [tokenAuthenticator(token)]),
    ...(username === '' ? [] : [usernamePasswordAuthenticator(username, password)]),
    ...(credentials === '' ? [] : [credsAuthenticator(bytes(credentials))]),
    ...(seed === '' ? [] : [nkeyAuthenticator(bytes(seed))])
  ]
  const isSecured = servers.some((server) => /^tls:/i.test(server))
  const tls = { ...certificates, checkServerIdentity: identityCheck(servers.map((server) => new URL(server).hostname)) }
  return { servers, name, authenticator: authenticators, ...(isSecured ? { tls } : {}) }
}

/**
 * Returns a check that the certificate is valid for one of the hosts. The library does not tell Node the address of a server that is configured
 * by its IP address, and Node would check the name `localhost`.
 */
function identityCheck(hosts: readonly string[]): typeof checkServerIdentity {
  return (host: string, certificate: PeerCertificate) => {
    const errors = hosts.map((own) => checkServerIdentity(own, certificate))
    return errors.includes(undefined) ? undefined : (errors[0] ?? checkServerIdentity(host, certificate))
  }
}
