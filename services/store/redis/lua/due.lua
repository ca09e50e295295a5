#!lua flags=no-writes
-- Users of a bucket whose next parked notification is due.
-- KEYS[1] due
-- ARGV[1] the clock, Unix milliseconds; '' for the server's own
-- ARGV[2] users at most
-- Returns {user, ...}
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
