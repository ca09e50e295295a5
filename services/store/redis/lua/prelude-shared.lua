-- Begins the scripts of a log and the batch scripts. The usual paths of the batch scripts load no log, so these functions take keys and values
-- as arguments. Times and offsets are text. The functions that a publish with options calls are locals, which Lua finds without a table.
local call, sub, format, match = redis.call, string.sub, string.format, string.match

-- Returns the tag of a row that follows one with the tag `previous`. `timed_id` is its time, 13 digits, and its id.
local function tag_after(previous, timed_id)
  return string.sub(redis.sha1hex(previous .. timed_id), 1, 8)
end

local function counts_as_unread(state)
  return not state or state == 'unread' or state == 'seen'
end

-- Returns the parts of the argument `options` of a publish: time of expiry, time of delivery, actions, collapse key, level; as text.
local function split_options(options)
  if sub(options, 1, 1) == '=' then return '0', '0', '.', sub(options, 2), '0' end
  return match(options, '^(%d+) (%d+) ([^ ]+) (.*) (%-?%d+)$')
end

-- Returns the member of EXPIRIES for a notification in the log.
local function expiry_member(offset, key)
  return format('l%012d', offset) .. key
end

-- Stores the options of a notification that was appended. `timed_id` and `tag` are those of its row.
local function store_options(hash, expiries, id, timed_id, tag, offset, expires_at, actions, key)
  local has_actions = actions ~= '.'
  if has_actions then call('HSET', hash, 'i' .. id, offset .. ' ' .. expires_at .. ' ' .. actions .. ' ' .. key) end
  if key ~= '' then call('HSET', hash, 'c' .. key, timed_id .. tag .. offset .. ' ' .. expires_at .. (has_actions and ' a' or ' .')) end
  if expires_at ~= '0' then call('ZADD', expiries, expires_at, expiry_member(offset, key)) end
end

-- Returns the id in the value of a collapse key in OPTIONS: that of the notification in the log.
local function collapsed_id(text)
  return sub(text, 14, 33)
end

-- Returns the other parts of that value: offset; time of expiry; 'a' if it has actions, else '.'. Returns nil if the value is malformed or names
-- no row of the log: a step that appends asks before its first write, because it must not fail after it.
local function collapsed_parts(text, floor, top)
  local offset, expires_at, mark = match(text, '^(%d+) (%d+) ([a.])$', 42)
  if not offset or offset - floor < 1 or offset - top > 0 then return nil end
  return offset, expires_at, mark
end

-- Empties the row of the notification that another one of its collapse key replaces, and removes its options and the answer to it. `text` is the
-- value of the key in OPTIONS; `offset`, `expires_at` and `mark` are from collapsed_parts.
local function empty_replaced(log, hash, expiries, floor, text, offset, expires_at, mark, key)
  -- A number that a script passes costs Redis a third of the command, because it is formatted with 17 digits. Text is taken as it is.
  call('LSET', log, format('%d', offset - floor - 1), format('x%.41s', text))
  if mark == 'a' then
    local id = collapsed_id(text)
    call('HDEL', hash, 'i' .. id, 'a' .. id)
  end
  if expires_at ~= '0' then call('ZREM', expiries, expiry_member(offset, key)) end
end

-- The id of the notification that another one replaces stands between these, in front of the tail of the other one.
local REPLACES_BEGIN, REPLACES_END = '"replaces":"', '",'

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
