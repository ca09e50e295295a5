import { type Static, Type } from 'typebox'

/** States of a notification that make its push unnecessary. */
const UNLESS = ['delivered', 'seen', 'read'] as const

const text = (defaultValue: string, description: string) => Type.String({ default: defaultValue, description })
const whole = (defaultValue: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: defaultValue, minimum, maximum, description })

/** Every environment variable that Belfry reads, with its default. `.env.example` and `docs/reference/configuration.md` list the same. */
export const environmentSchema = Type.Object({
  HOST: text('127.0.0.1', 'Address to listen on; 0.0.0.0 in a container'),
  PORT: whole(3000, 0, 65535, 'Port to listen on; 0: a free port'),
  LOG_LEVEL: Type.Union(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'fatal, error, warn, info, debug, trace or silent' }
  ),
  TRUST_PROXY: text('', 'Addresses or CIDRs of proxies whose X-Forwarded-For is trusted, comma-separated'),
  PUBLIC_URL: text('', 'Address of the service for clients, with the path prefix of a proxy; empty: derived from each request'),

  REDIS_URL: text('', 'One Redis for all nodes, redis:// or rediss://; empty: the embedded store'),
  REDIS_CLUSTER_NODES: text('', 'Redis Cluster in place of REDIS_URL: host:port of some nodes, comma-separated'),
  REDIS_SENTINELS: text('', 'Redis by Sentinel in place of REDIS_URL: host:port of the Sentinels, comma-separated'),
  REDIS_SENTINEL_NAME: text('', 'Name of the master group; needed with REDIS_SENTINELS'),
  REDIS_USERNAME: text('', 'User of a Cluster, or of the servers behind Sentinels; REDIS_URL contains its user'),
  REDIS_PASSWORD: text('', 'Password of REDIS_USERNAME'),
  REDIS_SENTINEL_PASSWORD: text('', 'Password of the Sentinels themselves'),
  REDIS_TLS: Type.Boolean({ default: false, description: 'TLS to a Cluster, or to Sentinels and the servers behind them' }),
  REDIS_TLS_CERT: text('', 'Client certificate for Redis, PEM or the path of a file; needs REDIS_TLS_KEY'),
  REDIS_TLS_KEY: text('', 'Private key of REDIS_TLS_CERT, PEM or the path of a file'),
  REDIS_TLS_CA: text('', "Authorities that sign the servers' certificates, PEM or the path of a file; empty: those of the system"),
  REDIS_KEY_PREFIX: Type.String({
    default: 'belfry',
    pattern: '^[A-Za-z0-9_.-]{1,64}$',
    description: 'Prefix of every key and channel'
  }),
  REDIS_WAIT_REPLICAS: whole(0, 0, 10, 'Replicas that must confirm a change before it is answered'),
  DATA_DIR: text('.belfry', 'Folder of the embedded store and of the generated secret'),

  NATS_URL: text('', 'NATS in place of Redis Pub/Sub: nats:// or tls:// addresses of one cluster, comma-separated; needs Redis'),
  NATS_TOKEN: text('', 'Token for NATS'),
  NATS_USERNAME: text('', 'User of NATS; needs NATS_PASSWORD'),
  NATS_PASSWORD: text('', 'Password of NATS_USERNAME'),
  NATS_CREDENTIALS: text('', 'Credentials file of a NATS user with a JWT, its text or its path'),
  NATS_NKEY_SEED: text('', 'Seed of the NKey of a NATS user, or the path of a file'),
  NATS_TLS_CERT: text('', 'Client certificate for NATS, PEM or the path of a file; needs NATS_TLS_KEY'),
  NATS_TLS_KEY: text('', 'Private key of NATS_TLS_CERT, PEM or the path of a file'),
  NATS_TLS_CA: text(
    '',
    'Authorities that sign the certificates of the NATS servers, PEM or the path of a file; empty: those of the system'
  ),

  JWT_SECRET: text('', 'Secret of HS256 tokens, 32 bytes or more; if no key is set, a secret is generated under DATA_DIR'),
  JWT_PUBLIC_KEY: text('', 'PEM public key of RS256, ES256 or EdDSA tokens, or a path to it'),
  JWKS_URL: text('', 'URL of a JSON Web Key Set, for keys that rotate'),
  JWT_ISSUER: text('', 'Required iss of tokens; empty: not checked'),
  JWT_AUDIENCE: text('', 'Required aud of tokens; empty: not checked'),
  MAX_TOKEN_LIFETIME: whole(31_536_000, 60, 315_360_000, 'Longest time from iat to exp of a token, seconds; a revocation is kept as long'),
  API_KEYS: text('', 'API keys, for services that use no JWT, comma-separated; admin:<key> for the scope admin, others have publish'),
  STRICT_SCOPES: Type.Boolean({
    default: false,
    description: 'The routes under /v1/users need the scope admin; false: all but the erasure and the topics also take publish'
  }),

  ALLOWED_ORIGINS: text('', 'Origins whose pages may connect, comma-separated; empty: all'),
  CORS_ORIGIN: text('', 'Origins whose pages may call the REST API, comma-separated, or *; empty: none'),
  CONNECT_RATE_LIMIT_MAX: whole(20000, 0, 1e9, 'Connect attempts per minute and address; 0: no limit'),
  PUBLISH_RATE_LIMIT_MAX: whole(0, 0, 1e9, 'Service requests per second and publisher; 0: no limit'),

  RATE_LIMIT_MAX: whole(10, 0, 1000, 'Notifications per user in any rolling window, further ones are parked; 0: no limit'),
  RATE_LIMIT_WINDOW_MS: whole(1000, 10, 3_600_000, 'Length of the window of RATE_LIMIT_MAX, milliseconds'),
  PARKED_MAX: whole(1000, 1, 100_000, 'Parked notifications per user'),
  SCHEDULED_MAX: whole(1000, 1, 100_000, 'Scheduled notifications per user'),
  RETENTION_SECONDS: whole(604_800, 1, 2_592_000, 'Age at which a notification is trimmed, seconds'),
  LOG_MAX_ENTRIES: whole(1000, 10, 100_000, 'Notifications kept per user'),
  MAX_UNACKED: whole(100, 1, 10_000, 'Frames in flight to a connection without an acknowledgement'),

  VAPID_PUBLIC_KEY: text(
    '',
    'Public key of Web Push, from `belfry vapid`; with the embedded store and none, a pair is generated under DATA_DIR'
  ),
  VAPID_PRIVATE_KEY: text('', 'Private key of VAPID_PUBLIC_KEY'),
  VAPID_SUBJECT: text('', 'Contact that push services get, mailto: or https:; needed with VAPID_PUBLIC_KEY'),
  PUSH_ENDPOINTS: text('', 'Origins of push services to accept beside the known ones, comma-separated; http only on loopback'),
  PUSH_AFTER_SECONDS: whole(3, 0, 2_592_000, 'Time from a notification to its push, seconds'),
  PUSH_UNLESS: Type.Union(
    UNLESS.map((state) => Type.Literal(state)),
    { default: 'delivered', description: 'delivered, seen or read: what makes a push unnecessary' }
  ),
  WEBHOOK_URL: text('', 'Address that gets webhooks; empty: none are sent, except to the receiver of the demo'),
  WEBHOOK_SECRET: text('', 'Secret that signs webhooks, whsec_ and 24 to 64 bytes in base64; two, comma-separated, while it is rotated'),
  WEBHOOK_EVENTS: text('', 'Events to send as webhooks, comma-separated; empty: all'),
  PRESENCE_GRACE_SECONDS: whole(15, 0, 3600, 'Time without a connection after which a user is offline, seconds'),

  WS_MAX_PAYLOAD_BYTES: whole(10_240, 256, 1_048_576, 'Largest frame of a client, bytes'),
  WS_PING_INTERVAL_MS: whole(25_000, 100, 300_000, 'Time between two pings, milliseconds'),
  MAX_CONNECTIONS: whole(0, 0, 10_000_000, 'Connections of this node; 0: derived from the limit of file descriptors'),
  MAX_CONNECTIONS_PER_USER: whole(100, 0, 100_000, 'Connections per user over all nodes; 0: no limit'),

  METRICS_PORT: whole(0, 0, 65535, 'Separate port of /metrics; 0: on the main port'),
  CLOSE_GRACE_SECONDS: whole(25, 1, 600, 'Longest time of a stop after DRAIN_DELAY_MS, seconds'),
  DRAIN_DELAY_MS: whole(2000, 0, 60_000, 'Time after SIGTERM in which a node still serves but is not ready, milliseconds'),
  DEMO: Type.Optional(Type.Boolean({ description: 'Serve /demo, true or false; empty: on loopback, with a generated secret' }))
})

export type Environment = Static<typeof environmentSchema>

/** Variables that are lists. */
export const LIST_NAMES = [
  'TRUST_PROXY',
  'API_KEYS',
  'ALLOWED_ORIGINS',
  'CORS_ORIGIN',
  'REDIS_CLUSTER_NODES',
  'REDIS_SENTINELS',
  'NATS_URL',
  'PUSH_ENDPOINTS',
  'WEBHOOK_SECRET',
  'WEBHOOK_EVENTS'
] as const

export type ListName = (typeof LIST_NAMES)[number]

/** Variables whose unit or window the name does not say. `Config` says it. */
type Unclear = 'CONNECT_RATE_LIMIT_MAX' | 'PUBLISH_RATE_LIMIT_MAX' | 'RATE_LIMIT_MAX' | 'MAX_TOKEN_LIFETIME'

/** The effective configuration: the environment with its lists split, its keys read, and a unit or a window in each name that needs one. */
export interface Config extends Omit<Environment, 'LOG_LEVEL' | Unclear | ListName>, Record<ListName, string[]> {
  LOG_LEVEL: string
  CONNECT_RATE_LIMIT_PER_MINUTE: number
  PUBLISH_RATE_LIMIT_PER_SECOND: number
  /** Notifications per `RATE_LIMIT_WINDOW_MS`. */
  RATE_LIMIT_PER_WINDOW: number
  MAX_TOKEN_LIFETIME_SECONDS: number
}
