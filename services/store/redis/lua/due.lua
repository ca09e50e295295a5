#!lua flags=no-writes
-- Finds users of some buckets whose next parked notification is due.
-- @key DUE
-- @arg clock       Unix milliseconds; '' for the clock of the server
-- @arg max_users   users of each bucket at most
-- @arg overdue_ms  least time since the release was due
-- @arg further     keys of the due users of further buckets; none in a Cluster
-- Returns {user, ...}
local now = tonumber(clock)
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local since = now - overdue_ms
-- The next release is at most one window from now. A later time comes from a clock that was set back, or from a longer window: such a user is
-- due now.
local beyond = '(' .. string.format('%.0f', now + RATE_WINDOW_MS)
local reply = {}
local function collect(due)
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', since, 'LIMIT', 0, max_users)) do reply[#reply + 1] = user end
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', due, beyond, '+inf', 'LIMIT', 0, max_users)) do reply[#reply + 1] = user end
end
collect(DUE)
for _, due in ipairs(further) do collect(due) end
return reply
