-- One user's log, loaded: every script that touches it begins with this, put in front by scripts.ts together with the settings
-- as locals (RATE_LIMIT, RATE_WINDOW_MS, PARKED_MAX, RETENTION_MS, MAX_ENTRIES, ...). Ends by trimming what is past retention.
-- A script that changes anything calls save() last. The behaviour is that of services/store/machine.ts, byte for byte.
--
-- KEYS[1] meta      hash: e epoch, t top, f floor, u unread, a latest time, o time of the oldest row, l limiter times,
--                   n number of the latest parked, q how many are parked, r revoked before, x when to renew the expiry
-- KEYS[2] log       list of rows; the row of offset f + 1 + i is at index i
-- KEYS[3] states    hash: id -> seen | read | archived
-- KEYS[4] keyed     zset: first 12 of an id -> offset, or minus the number it is parked under
-- KEYS[5] parked    zset: '<number> <half-life> <row>' -> number
-- KEYS[6] cursors   hash: device -> '<epoch> <offset> <id8> <at>'
-- KEYS[7] registry  hash: node -> '<count> <JSON of its connections>'
-- KEYS[8] due       zset of the bucket: user -> when the next one is released
-- KEYS[9] counters  hash of the bucket: node -> wake-ups, attaches and detaches so far; below zero once the node was found dead
-- ARGV[1] user
-- ARGV[2] the clock, Unix milliseconds; '' for the server's own; '<' and Unix milliseconds: the server's own, and rows have aged up to
--         that time at most, since a step of the clock is not age
-- ARGV[3] identity for the log, should it have to be started afresh
local META, LOG, STATES, KEYED, PARKED, CURSORS, REGISTRY, DUE, COUNTERS = unpack(KEYS)
local USER = ARGV[1]
local CHUNK = 128

local function int(number)
  return string.format('%.0f', number)
end

local meta = redis.call('HMGET', META, 'e', 't', 'f', 'u', 'a', 'o', 'l', 'n', 'q', 'r', 'x')
local epoch = meta[1] or ''
local top, floor, unread = tonumber(meta[2] or 0), tonumber(meta[3] or 0), tonumber(meta[4] or 0)
local latest, oldest = tonumber(meta[5] or 0), tonumber(meta[6] or 0)
local park_no, parked, revoked = tonumber(meta[8] or 0), tonumber(meta[9] or 0), tonumber(meta[10] or 0)
local limiter, fresh
local nodes

-- `wall` is the clock, which the rate limit follows; `aged` is the time up to which rows have aged; `now` is the log's time, which never runs back.
local wall = tonumber(ARGV[2])
local aged = wall
if not wall then
  local time = redis.call('TIME')
  wall = time[1] * 1000 + math.floor(time[2] / 1000)
  aged = math.min(wall, tonumber(string.sub(ARGV[2], 2)) or wall)
end
local now = math.max(wall, latest)

local function kind_of(row)
  return string.sub(row, 1, 1)
end

local function time_of(row)
  return tonumber(string.sub(row, 2, 14))
end

local function id_of(row)
  return string.sub(row, 15, 34)
end

-- The ids an `s` or `d` row names.
local function ids_in(row)
  local ids = {}
  local list = string.match(row, '"ids":%[([^%]]*)%]', 35) or ''
  for id in string.gmatch(list, '"([^"]*)"') do ids[#ids + 1] = id end
  return ids
end

local function row_at(offset)
  return offset > floor and offset <= top and redis.call('LINDEX', LOG, offset - floor - 1) or nil
end

local function id8_at(offset)
  local row = row_at(offset)
  return row and string.sub(row, 15, 22) or ''
end

local function counts_as_unread(state)
  return not state or state == 'unread' or state == 'seen'
end

-- id -> state of those that are not unread.
local function states_of(ids)
  local states = {}
  if #ids == 0 or redis.call('EXISTS', STATES) == 0 then return states end
  for from = 1, #ids, 1000 do
    local to = math.min(from + 999, #ids)
    for i, state in ipairs(redis.call('HMGET', STATES, unpack(ids, from, to))) do
      if state then states[ids[from + i - 1]] = state end
    end
  end
  return states
end

-- Calls visit(row, offset) from the oldest row on, up to and with the offset `last`, until it returns true.
local function each_row(last, visit)
  for from = floor + 1, last, CHUNK do
    local to = math.min(from + CHUNK - 1, last)
    for i, row in ipairs(redis.call('LRANGE', LOG, from - floor - 1, to - floor - 1)) do
      if visit(row, from + i - 1) then return end
    end
  end
end

local function trim(to)
  local ids = {}
  each_row(to, function(row)
    if kind_of(row) == 'n' then ids[#ids + 1] = id_of(row) end
  end)
  local states = states_of(ids)
  for _, id in ipairs(ids) do
    if counts_as_unread(states[id]) then unread = unread - 1 end
    if states[id] then redis.call('HDEL', STATES, id) end
  end
  redis.call('LTRIM', LOG, to - floor, -1)
  floor = to
  local first = row_at(floor + 1)
  oldest = first and time_of(first) or 0
end

local function reset()
  redis.call('DEL', LOG, STATES)
  redis.call('ZREMRANGEBYSCORE', KEYED, 1, '+inf')
  epoch, top, floor, unread, oldest = ARGV[3], 0, 0, 0, 0
end

-- A log that was never used gets its identity. What a lost meta left behind would be of another log.
local function begin()
  if epoch ~= '' then return end
  redis.call('DEL', KEYED, PARKED)
  redis.call('ZREM', DUE, USER)
  reset()
end

-- Times of the latest notifications, ascending; those from `fresh` on are inside the rate window. Kept as the first time and the steps between.
-- Times ahead of a clock that was set back count as now, so that their slots are free again after one window.
local function read_limiter()
  if limiter then return end
  limiter, fresh = {}, 1
  local at = 0
  for step in string.gmatch(meta[7] or '', '%d+') do
    at = at + tonumber(step)
    local time = math.min(at, wall)
    limiter[#limiter + 1] = time
    if time <= wall - RATE_WINDOW_MS then fresh = #limiter + 1 end
  end
end

local function count_notification()
  read_limiter()
  local times = {}
  if RATE_LIMIT > 0 then
    for i = fresh, #limiter do times[#times + 1] = limiter[i] end
    times[#times + 1] = wall
  end
  limiter, fresh = times, 1
end

local function free_slots()
  if RATE_LIMIT == 0 then return math.huge end
  read_limiter()
  return math.max(0, RATE_LIMIT - (#limiter - fresh + 1))
end

-- When the parked notification at this index (0 is the next) will be released, if nothing is recalled.
local function release_at(index)
  if RATE_LIMIT == 0 then return wall end
  read_limiter()
  local used = math.min(#limiter - fresh + 1, RATE_LIMIT)
  local slot, free = index % RATE_LIMIT, RATE_LIMIT - used
  local first = slot < free and wall or limiter[#limiter - used + slot - free + 1] + RATE_WINDOW_MS
  return first + math.floor(index / RATE_LIMIT) * RATE_WINDOW_MS
end

-- Sends a message to a node and counts it. A node that was found dead is taken out of the registry: false.
local function tell(node, kind, body)
  local count = redis.call('HINCRBY', COUNTERS, node, 1)
  if count < 0 then
    redis.call('HDEL', REGISTRY, node)
    return false
  end
  redis.call('SPUBLISH', COUNTERS .. ':' .. node, kind .. int(count) .. ' ' .. body)
  return true
end

-- Wakes the nodes that hold the user; how many.
local function wake(row)
  nodes = nodes or redis.call('HKEYS', REGISTRY)
  if #nodes == 0 then return 0 end
  local body = int(top) .. ' ' .. epoch .. ' ' .. #USER .. ' ' .. USER .. (#row <= INLINE_MAX and row or '')
  local told = {}
  for _, node in ipairs(nodes) do
    if tell(node, 'w', body) then told[#told + 1] = node end
  end
  nodes = told
  return #told
end

-- Appends a row and wakes; how many nodes.
local function append(kind, id, tail)
  local row = kind .. string.format('%013.0f', now) .. id .. tail
  if redis.call('RPUSH', LOG, row) == 1 then
    redis.call('PEXPIRE', LOG, META_TTL_MS)
    oldest = now
  end
  if kind == 'n' or kind == 'd' then count_notification() end
  top, latest = top + 1, now
  if kind == 'n' then unread = unread + 1 end
  if top % FORGET_EVERY == 0 then redis.call('ZREMRANGEBYSCORE', KEYED, 1, top - IDEMPOTENCY_WINDOW) end
  local woken = wake(row)
  if top - floor > MAX_ENTRIES + math.floor(MAX_ENTRIES / 10) then trim(top - MAX_ENTRIES) end
  return woken
end

local function remember(key, place)
  redis.call('ZADD', KEYED, place, key)
  redis.call('PEXPIRE', KEYED, META_TTL_MS, 'NX')
end

-- Tells the bucket when the user's next parked notification is due.
local function schedule()
  if parked == 0 then redis.call('ZREM', DUE, USER) else redis.call('ZADD', DUE, release_at(0), USER) end
end

local function times_text()
  if #limiter == 0 then return '' end
  local steps = { int(limiter[1]) }
  for i = 2, #limiter do steps[i] = int(limiter[i] - limiter[i - 1]) end
  return table.concat(steps, ',')
end

-- Writes what changed in meta; renews the expiry of all the user's keys once in a sixteenth of it.
local function save()
  if epoch == '' then return end
  local fields = {}
  local function put(name, value, index)
    if value ~= (meta[index] or (name == 'l' and '' or '0')) then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  put('e', epoch, 1)
  put('t', int(top), 2)
  put('f', int(floor), 3)
  put('u', int(unread), 4)
  put('a', int(latest), 5)
  put('o', int(oldest), 6)
  if limiter then put('l', times_text(), 7) end
  put('n', int(park_no), 8)
  put('q', int(parked), 9)
  put('r', int(revoked), 10)
  local renew = now >= tonumber(meta[11] or 0)
  if renew then put('x', int(now + math.floor(META_TTL_MS / 16)), 11) end
  if #fields > 0 then redis.call('HSET', META, unpack(fields)) end
  if not renew then return end
  for i = 1, 6 do redis.call('PEXPIRE', KEYS[i], META_TTL_MS) end
end

-- A list that is not as long as meta says lost a part: what is left cannot be told apart, so it is another log from here.
if epoch ~= '' and redis.call('LLEN', LOG) ~= top - floor then reset() end

if top > floor and oldest <= aged - RETENTION_MS then
  local to = floor
  each_row(top, function(row, offset)
    if time_of(row) > aged - RETENTION_MS then return true end
    to = offset
  end)
  if to > floor then trim(to) end
end

if latest > wall then read_limiter() end
