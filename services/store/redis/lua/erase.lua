#!lua flags=allow-oom
-- Erases a user: tells the nodes to close the user's connections, and deletes all keys. The times of the revocation and of the erasure stay in META
-- for as long as an older token may be valid.
-- @key KICKS  as in disconnect.lua
-- @arg reason
-- Returns the number of connections that nodes were told to close
-- As endOfSecond in revocation.ts.
revoked = math.max((math.floor(wall / 1000) + 1) * 1000, revoked)
local head = ' 0 * ' .. #user .. ' ' .. user
local told = 0
local registered = redis.call('HGETALL', REGISTRY)
for i = 1, #registered, 2 do
  if tell(registered[i], REGISTRY, COUNTERS, 'k', head, reason) then told = told + tonumber(string.match(registered[i + 1], '^%d+')) end
end
redis.call('DEL', META, LOG, STATES, KEYED, PARKED, CURSORS, REGISTRY, BODIES, OPTIONS, SCHEDULED, EXPIRIES, KICKS)
Outbox.clear()
redis.call('ZREM', DUE, user)
redis.call('ZREM', TIMES, user)
redis.call('HSET', META, 'r', int(revoked), 'z', int(math.max(wall, tonumber(meta[18] or 0))))
redis.call('PEXPIRE', META, REVOCATION_TTL_MS)
return told
