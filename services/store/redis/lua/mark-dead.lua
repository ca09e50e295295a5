#!lua flags=allow-oom
-- Marks the counters of dead nodes. The next step that finds such a node in a registry removes it there. If nothing was registered for a
-- node, its counter is deleted.
-- @key COUNTERS
-- @arg dead_counter  the counter of a dead node
-- @arg nodes
-- Returns {1 when the node is marked, else 0, ...}
local reply = {}
for i, node in ipairs(nodes) do
  local counter = tonumber(redis.call('HGET', COUNTERS, node) or 0)
  if counter > 1 then redis.call('HSET', COUNTERS, node, dead_counter) end
  if counter == 1 then redis.call('HDEL', COUNTERS, node) end
  reply[i] = (counter > 1 or counter < 0) and 1 or 0
end
return reply
