/** The WebSocket subprotocol, and the version of everything in this folder. */
export const SUBPROTOCOL = 'belfry.v1'

/** Path of the WebSocket. */
export const SOCKET_PATH = '/v1/ws'

/** Path of the same frames as server-sent events. */
export const STREAM_PATH = '/v1/sse'

/** A subprotocol entry with this prefix carries the token, `bearer.<jwt>`; it is never answered back. */
export const BEARER_PREFIX = 'bearer.'

/** The device a connection belongs to when the client names none. Its cursor moves by itself. */
export const DEFAULT_DEVICE = 'default'

/** Words a client may send as `last_event_id` in place of an event id. */
export const EARLIEST = 'earliest'
export const LATEST = 'latest'
