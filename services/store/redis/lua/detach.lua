#!lua flags=allow-oom
-- Writes the connections that a node has of a user to the registry; a node without any is no longer woken. The write is counted as an attach
-- is: if it is carried out late, the node notices the counter.
-- @key REGISTRY
-- @key COUNTERS
-- @arg node
-- @arg count        number of connections of the user that the node has
-- @arg connections  JSON of those
-- Returns the node's counter; below zero when the node was found dead
if count == '0' then
  redis.call('HDEL', REGISTRY, node)
else
  redis.call('HSET', REGISTRY, node, count .. ' ' .. connections)
  redis.call('PEXPIRE', REGISTRY, REGISTRY_TTL_MS)
end
local counter = redis.call('HINCRBY', COUNTERS, node, 1)
if counter ~= 1 then return counter end
return redis.call('HINCRBY', COUNTERS, node, 1)
