#!lua flags=allow-oom
-- Erases a user: tells every node to close their connections, and deletes all keys. Only the time of the revocation stays, in META, for as
-- long as a token from before it may live.
-- @key KICKS
-- @arg reason
-- Returns how many connections were told
revoked = math.max(wall, revoked)
local head = ' 0 * ' .. #user .. ' ' .. user
local told = 0
local registered = redis.call('HGETALL', REGISTRY)
for i = 1, #registered, 2 do
  if tell(registered[i], REGISTRY, COUNTERS, 'k', head, reason) then told = told + tonumber(string.match(registered[i + 1], '^%d+')) end
end
redis.call('DEL', META, LOG, STATES, KEYED, PARKED, CURSORS, REGISTRY, BODIES, OPTIONS, SCHEDULED, EXPIRIES, KICKS)
redis.call('ZREM', DUE, user)
redis.call('ZREM', TIMES, user)
redis.call('HSET', META, 'r', int(revoked))
redis.call('PEXPIRE', META, REVOCATION_TTL_MS)
return told
