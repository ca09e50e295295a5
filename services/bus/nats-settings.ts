/** Addresses and credentials of NATS. At most one of `token`, `username`, `credentials` and `seed` is given; '' for none. */
export interface NatsSettings {
  /** `nats://host:port` or `tls://host:port` of some servers of one cluster. */
  servers: string[]
  token: string
  username: string
  password: string
  /** Text of a credentials file: a user's JWT and the seed of its key. */
  credentials: string
  /** Seed of a user's NKey. */
  seed: string
  /** PEM texts: the authorities that sign the servers' certificates, the client's certificate, and its key. */
  certificates: { ca?: string; cert?: string; key?: string }
}
