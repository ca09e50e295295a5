/** The WebSocket subprotocol, which names the version of everything in this folder. */
export const SUBPROTOCOL = 'belfry.v1'

/** Path of the WebSocket. */
export const SOCKET_PATH = '/v1/ws'

/** Path of the same frames as server-sent events. */
export const STREAM_PATH = '/v1/sse'

/** Prefix of the subprotocol entry that carries the token, `bearer.<jwt>`. The server never answers with that entry. */
export const BEARER_PREFIX = 'bearer.'

/** The device of connections whose client names none. Its cursor moves by itself. */
export const DEFAULT_DEVICE = 'default'

/** Words that `last_event_id` may have in place of an event id. */
export const EARLIEST = 'earliest'
export const LATEST = 'latest'
