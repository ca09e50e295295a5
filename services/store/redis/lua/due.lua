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
local reply = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', since, 'LIMIT', 0, ARGV[2])
for i = 4, #ARGV do
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', ARGV[i], '-inf', since, 'LIMIT', 0, ARGV[2])) do reply[#reply + 1] = user end
end
return reply
