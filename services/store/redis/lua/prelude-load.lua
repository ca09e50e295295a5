-- Loads the log of one user. Every script of a log begins with this text, and ends with `save()` if it may have changed anything. Loading
-- trims the rows past retention. The behaviour is that of services/store/machine.ts, byte for byte.
--
-- @key META      hash: e epoch, t top, f floor, u unread, a latest time, o time of the oldest row, l limiter times,
--                n number of the latest parked, q how many are parked, r revoked before, x when to renew the expiry,
--                g tag of the row at t, c rows that are neither notifications nor digests, d time of the next expiry, delivery or check,
--                j 2 if OPTIONS may have fields, or parked notifications have levels; for 0 and 1 see prelude-upgrade.lua,
--                s '<number of seen> <stamp>', see prelude-unread.lua, h see prelude-outbox.lua, z time of the latest erasure
-- @key LOG       list of rows; the row of offset f + 1 + i is at index i
-- @key STATES    hash: id -> seen | read | archived
-- @key KEYED     zset: first 12 of an id -> offset; minus the number under which it is parked or scheduled; if it was recalled, or expired,
--                before it had an offset, the log's top at that time
-- @key PARKED    zset: a waiting notification, see prelude-options.lua -> its number - its level * LEVEL_WEIGHT
-- @key CURSORS   hash: device -> '<epoch> <offset> <id8> <at>'
-- @key REGISTRY  hash: node -> '<count> <JSON of its connections>'
-- @key DUE       zset of the bucket: user -> time of the next release
-- @key COUNTERS  hash of the bucket: node -> wake-ups, attaches and detaches so far; below zero after the node was found dead
-- @key BODIES    hash: first 12 of an id that no row holds -> the rest of the id, behind 'l' (in the log), 'p' (parked: another one took
--                its turn), 'r' (recalled or expired before it had an offset) or 's<time of delivery> ' (scheduled)
-- @arg user
-- @arg clock      see prelude-clock.lua
-- @arg new_epoch  identity of the log, if it has to start afresh
local CHUNK = 128

local function int(number)
  return string.format('%.0f', number)
end

local meta = redis.call('HMGET', META, 'e', 't', 'f', 'u', 'a', 'o', 'l', 'n', 'q', 'r', 'x', 'g', 'c', 'd', 'j', 's', 'h', 'z')
local epoch = meta[1] or ''
local top, floor, unread = tonumber(meta[2] or 0), tonumber(meta[3] or 0), tonumber(meta[4] or 0)
local latest, oldest = tonumber(meta[5] or 0), tonumber(meta[6] or 0)
local park_no, parked, revoked = tonumber(meta[8] or 0), tonumber(meta[9] or 0), tonumber(meta[10] or 0)
local chain, changes = meta[12] or epoch, tonumber(meta[13] or 0)
local nearest_at, has_options, times_changed = tonumber(meta[14] or 0), (meta[15] or '') ~= '', false
local limiter, fresh, clamped
local nodes

-- `wall` is the clock, which the rate limit follows; `aged` is the time up to which rows have aged; `now` is the time of new rows, which never
-- runs back.
local wall, aged = read_clock()
local now = math.max(wall, latest)
