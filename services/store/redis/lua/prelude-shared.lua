-- Begins the scripts of a log and the batch scripts. The usual paths of the batch scripts load no log, so these functions take keys and values
-- as arguments. Times and offsets are text.

-- Returns the tag of a row that follows one with the tag `previous`. `timed_id` is its time, 13 digits, and its id.
local function tag_after(previous, timed_id)
  return string.sub(redis.sha1hex(previous .. timed_id), 1, 8)
end

local function counts_as_unread(state)
  return not state or state == 'unread' or state == 'seen'
end

-- Returns the parts of the argument `options` of a publish: time of expiry, time of delivery, actions, collapse key, level.
local function split_options(options)
  return string.match(options, '^(%d+) (%d+) ([^ ]+) (.*) (%-?%d+)$')
end

-- Returns the member of EXPIRIES for a notification in the log.
local function expiry_member(offset, key)
  return string.format('l%012.0f', offset) .. key
end

-- Stores the options of a notification that was appended. `header` is its row without kind and tail.
local function store_options(hash, expiries, id, header, offset, expires_at, actions, key)
  local has_actions = actions ~= '.'
  if has_actions then redis.call('HSET', hash, 'i' .. id, offset .. ' ' .. expires_at .. ' ' .. actions .. ' ' .. key) end
  if key ~= '' then redis.call('HSET', hash, 'c' .. key, header .. offset .. ' ' .. expires_at .. (has_actions and ' a' or ' .')) end
  if expires_at ~= '0' then redis.call('ZADD', expiries, expires_at, expiry_member(offset, key)) end
end

-- Returns the id in the value of a collapse key in OPTIONS: that of the notification in the log.
local function collapsed_id(text)
  return string.sub(text, 14, 33)
end

-- Returns the other parts of that value: {offset, time of expiry, 'a' if it has actions, else '.'}. Returns nil if the value is malformed or names
-- no row of the log: a step that appends asks before its first write, because it must not fail after it.
local function collapsed_parts(text, floor, top)
  local parts = { string.match(text, '^(%d+) (%d+) ([a.])$', 42) }
  local offset = tonumber(parts[1])
  if not offset or offset <= tonumber(floor) or offset > top then return nil end
  return parts
end

-- Empties the row of the notification that another one of its collapse key replaces, and removes its options and the answer to it. `text` is the
-- value of the key in OPTIONS, and `parts` is from collapsed_parts. Returns the time of its expiry.
local function empty_replaced(log, hash, expiries, floor, text, parts, key)
  local offset, expires_at, mark = unpack(parts)
  redis.call('LSET', log, offset - floor - 1, 'x' .. string.sub(text, 1, 41))
  if mark == 'a' then
    local id = collapsed_id(text)
    redis.call('HDEL', hash, 'i' .. id, 'a' .. id)
  end
  if expires_at ~= '0' then redis.call('ZREM', expiries, expiry_member(offset, key)) end
  return expires_at
end

-- Returns what stands in front of the tail of a notification that replaces another one.
local function replaces_text(id)
  return '"replaces":"' .. id .. '",'
end

-- Writes the time of a user's next expiry, delivery or check to the index of their bucket, and returns it; '0' if there is none. `check` is the
-- time of the next check, or nil.
local function note_nearest(expiries, scheduled, times, user, check)
  local expiry = redis.call('ZRANGE', expiries, 0, 0, 'WITHSCORES')[2]
  local delivery = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
  local nearest = math.min(tonumber(expiry or math.huge), tonumber(delivery or math.huge), check or math.huge)
  if nearest == math.huge then
    redis.call('ZREM', times, user)
    return '0'
  end
  local at = string.format('%.0f', nearest)
  redis.call('ZADD', times, at, user)
  return at
end
