#!lua flags=no-writes
-- Users of some buckets whose next parked notification is due.
-- KEYS[1] due
-- ARGV[1] the clock, Unix milliseconds; '' for the server's own
-- ARGV[2] users at most, of each bucket
-- ARGV[3] for how long at least it is due, milliseconds
-- ARGV[4..] due of further buckets; not in a Cluster
-- Returns {user, ...}
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local since = now - ARGV[3]
-- The next one is due within a window. A time further ahead is of a clock that was set back, or of a longer window: it is looked at now.
local beyond = '(' .. string.format('%.0f', now + RATE_WINDOW_MS)
local reply = {}
local function collect(due)
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', since, 'LIMIT', 0, ARGV[2])) do reply[#reply + 1] = user end
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', due, beyond, '+inf', 'LIMIT', 0, ARGV[2])) do reply[#reply + 1] = user end
end
collect(KEYS[1])
for i = 4, #ARGV do collect(ARGV[i]) end
return reply
