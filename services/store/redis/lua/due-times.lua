#!lua flags=no-writes
-- Finds users of some buckets whose next expiry or delivery is due.
-- @key TIMES
-- @arg clock       Unix milliseconds; '' for the clock of the server
-- @arg max_users   users of each bucket at most
-- @arg overdue_ms  least time since it was due
-- @arg further     keys of the times of further buckets; none in a Cluster
-- Returns {user, ...}
local now = tonumber(clock)
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local reply = {}
local function collect(times)
  local users = redis.call('ZRANGEBYSCORE', times, '-inf', string.format('%.0f', now - overdue_ms), 'LIMIT', 0, max_users)
  for _, user in ipairs(users) do reply[#reply + 1] = user end
end
collect(TIMES)
for _, times in ipairs(further) do collect(times) end
return reply
