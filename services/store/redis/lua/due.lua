#!lua flags=no-writes
-- Finds users of some buckets for whom something is due, by one of their indexes: DUE (releases) or TIMES (expiries and deliveries).
-- @key ANY         index of a bucket: user -> time
-- @arg clock       Unix milliseconds; '' for the clock of the server
-- @arg max_users   users of each bucket at most
-- @arg overdue_ms  least time since it was due
-- @arg horizon_ms  a time further ahead is due now, because it comes from a clock that was set back or from older settings; '' for none
-- @arg further     indexes of further buckets; none in a Cluster
-- Returns {user, ...}
local now = tonumber(clock)
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local since = string.format('%.0f', now - overdue_ms)
local horizon = horizon_ms ~= '' and '(' .. string.format('%.0f', now + horizon_ms)
local reply = {}
local function collect(index)
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', since, 'LIMIT', 0, max_users)) do reply[#reply + 1] = user end
  if not horizon then return end
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', index, horizon, '+inf', 'LIMIT', 0, max_users)) do reply[#reply + 1] = user end
end
collect(ANY)
for _, index in ipairs(further) do collect(index) end
return reply
