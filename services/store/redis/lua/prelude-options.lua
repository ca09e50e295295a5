-- Reads and writes the options of a user's notifications, the answers to them, and the times at which they expire or are delivered. For a
-- user whose notifications have no options, none of these keys exists, and no command is run for them.
--
-- @key OPTIONS    hash: 'c<collapse key>' -> the notification in the log | 'p<collapse key>' -> score in PARKED
--                 | 's<collapse key>' -> turn in SCHEDULED | 'i<id>' -> options of a notification in the log that has actions
--                 | 'a<id>' -> its answer, '<answered at> <action> <device>'
-- @key SCHEDULED  zset: a waiting notification, whose number has 12 digits -> time of delivery
-- @key EXPIRIES   zset: 'l<offset, 12 digits><collapse key>' | 'p<score in PARKED>' | 's<turn in SCHEDULED>' -> time of expiry
-- @key TIMES      zset of the bucket: user -> the nearest time in EXPIRIES, SCHEDULED or CHECKS
--
-- 'i<id>' is '<offset> <expires at> <actions, joined by commas> <collapse key>'. 'c<collapse key>' is '<the row without kind and tail><offset>
-- <expires at> <a if it has actions, else .>', so that a notification is replaced without reading its row.
-- A turn in SCHEDULED: '<time of delivery>:<number>'.

-- Functions for waiting notifications, the members of PARKED and SCHEDULED. They are fields of a table because a Lua chunk may have at most 200
-- locals. LEVEL_WEIGHT is larger than any number, so PARKED is in order of urgency, then of number.
local Waiting = { LEVEL_WEIGHT = 1000000000000 }
-- Functions for the fields of OPTIONS.
local Options = {}

-- Decodes a member of PARKED or SCHEDULED: '<number> <half-life> [*<push> <fallback> ][+<level> <expires at> <actions> <length of the key>
-- <key> ]<row>'. For push and fallback see Outbox.add_checks.
function Waiting.decode(member)
  local no, half_life, rest = string.match(member, '^(%d+) ([^ ]+) (.*)$')
  local waiting = {
    member = member, no = tonumber(no), half_life = half_life, row = rest,
    level = 0, expires_at = 0, actions = '.', collapse_key = '', push = '.', fallback = '.'
  }
  if string.sub(rest, 1, 1) == '*' then
    local push, fallback, from = string.match(rest, '^%*([^ ]+) ([^ ]+) ()')
    waiting.push, waiting.fallback = push, fallback
    rest = string.sub(rest, from)
    waiting.row = rest
  end
  if string.sub(rest, 1, 1) == '+' then
    local level, expires_at, actions, length, from = string.match(rest, '^%+(%-?%d+) (%d+) ([^ ]+) (%d+) ()')
    waiting.level, waiting.expires_at, waiting.actions = tonumber(level), tonumber(expires_at), actions
    waiting.collapse_key = string.sub(rest, from, from + length - 1)
    waiting.row = string.sub(rest, from + length + 1)
  end
  return waiting
end

-- Returns whether a notification has options beside its level.
function Waiting.has_options(waiting)
  return waiting.expires_at > 0 or waiting.collapse_key ~= '' or waiting.actions ~= '.'
end

-- Encodes a member of PARKED or SCHEDULED. `no` is its number as text.
function Waiting.encode(no, waiting, row)
  local head = no .. ' ' .. waiting.half_life .. ' '
  if waiting.push ~= '.' or waiting.fallback ~= '.' then head = head .. '*' .. waiting.push .. ' ' .. waiting.fallback .. ' ' end
  if waiting.level == 0 and not Waiting.has_options(waiting) then return head .. row end
  local key = waiting.collapse_key
  return head .. '+' .. waiting.level .. ' ' .. int(waiting.expires_at) .. ' ' .. waiting.actions .. ' ' .. #key .. ' ' .. key .. ' ' .. row
end

function Waiting.score(no, level)
  return int(no - level * Waiting.LEVEL_WEIGHT)
end

function Waiting.parked_with_score(score)
  return redis.call('ZRANGEBYSCORE', PARKED, score, score)[1]
end

-- Returns the member of PARKED with a number. Its level is not known, so each is tried.
function Waiting.parked_with_number(no)
  for level = 1, -2, -1 do
    local member = Waiting.parked_with_score(Waiting.score(no, level))
    if member then return member end
  end
end

function Waiting.scheduled_turn(at, no)
  return int(at) .. ':' .. string.format('%012.0f', no)
end

-- Returns the member of SCHEDULED with a turn, and its time of delivery.
function Waiting.scheduled_with_turn(turn)
  local at, no = string.match(turn, '^(%d+):(%d+)$')
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', SCHEDULED, at, at)) do
    if string.sub(member, 1, 12) == no then return member, tonumber(at) end
  end
end

function Options.set(field, value)
  has_options, Options.changed = true, true
  redis.call('HSET', OPTIONS, field, value)
end

local function note_expiry(member, at)
  if at == 0 then return end
  times_changed = true
  redis.call('ZADD', EXPIRIES, int(at), member)
end

local function cancel_expiry(member, at)
  if at == 0 then return end
  times_changed = true
  redis.call('ZREM', EXPIRIES, member)
end

-- Returns the options of a notification in the log that has actions, or nil: offset, time of expiry, actions, collapse key.
function Options.get(id)
  local text = has_options and redis.call('HGET', OPTIONS, 'i' .. id)
  if not text then return nil end
  local offset, expires_at, actions, key = string.match(text, '^(%d+) (%d+) ([^ ]+) (.*)$')
  if not offset then return nil end
  return { offset = tonumber(offset), expires_at = tonumber(expires_at), actions = actions, collapse_key = key }
end

-- Stores the options of a notification whose row was just appended.
function Options.add(id, accepted)
  if not Waiting.has_options(accepted) then return end
  has_options, Options.changed = true, true
  if accepted.expires_at > 0 then times_changed = true end
  local timed_id = string.format('%013.0f', now) .. id
  store_options(OPTIONS, EXPIRIES, id, timed_id, chain, int(top), int(accepted.expires_at), accepted.actions, accepted.collapse_key)
end

-- Returns id -> collapse key of the notifications in the log that have one.
function Options.collapse_keys()
  local key_by_id = {}
  if not has_options then return key_by_id end
  local fields = redis.call('HGETALL', OPTIONS)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) == 'c' then key_by_id[collapsed_id(fields[i + 1])] = string.sub(fields[i], 2) end
  end
  return key_by_id
end

-- Removes the options, answers and expiries of notifications that leave the log: id -> offset.
function Options.remove(offset_by_id, key_by_id)
  if not has_options then return end
  local fields, members = {}, {}
  for id, offset in pairs(offset_by_id) do
    local key = key_by_id[id] or ''
    fields[#fields + 1] = 'i' .. id
    fields[#fields + 1] = 'a' .. id
    if key ~= '' then fields[#fields + 1] = 'c' .. key end
    members[#members + 1] = expiry_member(offset, key)
  end
  for from = 1, #fields, 1000 do redis.call('HDEL', OPTIONS, unpack(fields, from, math.min(from + 999, #fields))) end
  if nearest_at == 0 and not times_changed then return end
  for from = 1, #members, 1000 do
    if redis.call('ZREM', EXPIRIES, unpack(members, from, math.min(from + 999, #members))) > 0 then times_changed = true end
  end
end

-- Notes that the user has no options, if none are left.
function Options.forget_if_none()
  if has_options and parked == 0 and redis.call('EXISTS', OPTIONS, EXPIRIES) == 0 then has_options = false end
end

-- Removes the options, answers and expiries of all notifications in the log.
function Options.remove_of_log()
  if not has_options then return end
  times_changed = true
  for _, field in ipairs(redis.call('HKEYS', OPTIONS)) do
    local kind = string.sub(field, 1, 1)
    if kind ~= 'p' and kind ~= 's' then redis.call('HDEL', OPTIONS, field) end
  end
  for _, member in ipairs(redis.call('ZRANGE', EXPIRIES, 0, -1)) do
    if string.sub(member, 1, 1) == 'l' then redis.call('ZREM', EXPIRIES, member) end
  end
end

-- Returns {id, answer, ...} for the notifications that were answered.
function Options.answers_of(ids)
  local answers = {}
  if not has_options or #ids == 0 then return answers end
  local fields = {}
  for i, id in ipairs(ids) do fields[i] = 'a' .. id end
  for from = 1, #ids, 1000 do
    local to = math.min(from + 999, #ids)
    for i, answer in ipairs(redis.call('HMGET', OPTIONS, unpack(fields, from, to))) do
      if answer then
        answers[#answers + 1] = ids[from + i - 1]
        answers[#answers + 1] = answer
      end
    end
  end
  return answers
end
