#!lua flags=allow-oom
-- Renews the checks of connections that are due, for users of some buckets who have a connection on a live node. It does what advance.lua does, for
-- many users in one command, and loads no log. A user for whom more is due stays as they are.
-- @key TIMES       index of a bucket: user -> the nearest time in EXPIRIES, SCHEDULED or CHECKS
-- @arg clock       Unix milliseconds; '' for the clock of the server
-- @arg max_users   users of each bucket at most
-- @arg overdue_ms  least time since the check was due
-- @arg check_ms    time until the next check
-- @arg further     indexes of further buckets; none in a Cluster
-- Returns {user, time of what is next for them, beside the check, or 0, ...}
local CHECK = 'wr000000000000'
local now = tonumber(clock)
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local since, renewed_at = string.format('%.0f', now - overdue_ms), now + check_ms
local reply = {}

local function first_time(key)
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) or math.huge
end

local function is_connected(registry, counters)
  for _, node in ipairs(redis.call('HKEYS', registry)) do
    if tonumber(redis.call('HGET', counters, node) or 0) >= 0 then return true end
  end
  return false
end

-- Returns whether a step of the user would do nothing else: none is parked, the keys need no later expiry, and the options are of this version.
local function is_quiet(meta)
  local latest, parked, expiry_at, form = unpack(redis.call('HMGET', meta, 'a', 'q', 'x', 'j'))
  return (parked or '0') == '0' and math.max(now, tonumber(latest or 0)) < tonumber(expiry_at or 0) and form ~= '0' and form ~= '1'
end

local function renew(user, times, stem)
  local function key(kind)
    return stem .. kind .. user
  end
  local checks, meta = key(CHECKS_KIND), key(META_KIND)
  local first, at, _, second_at = unpack(redis.call('ZRANGE', checks, 0, 1, 'WITHSCORES'))
  if first ~= CHECK or tonumber(at) > now or not is_connected(key(REGISTRY_KIND), stem .. COUNTERS_KIND) then return end
  local next_at = math.min(tonumber(second_at) or math.huge, first_time(key(EXPIRIES_KIND)), first_time(key(SCHEDULED_KIND)))
  if next_at <= now or not is_quiet(meta) then return end
  local nearest = string.format('%.0f', math.min(next_at, renewed_at))
  redis.call('ZADD', checks, string.format('%.0f', renewed_at), CHECK)
  redis.call('HSET', meta, 'd', nearest)
  redis.call('ZADD', times, nearest, user)
  reply[#reply + 1] = user
  reply[#reply + 1] = next_at == math.huge and 0 or next_at
end

local function renew_all(times)
  local stem = string.sub(times, 1, -1 - #TIMES_KIND)
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', times, '-inf', since, 'LIMIT', 0, max_users)) do renew(user, times, stem) end
end
renew_all(TIMES)
for _, index in ipairs(further) do renew_all(index) end
return reply
