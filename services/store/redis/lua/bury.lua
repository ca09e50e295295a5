#!lua flags=allow-oom
-- Marks the counters of dead nodes, so that the next step that finds such a node in a registry removes it there. A node that nothing was
-- registered for keeps no counter.
-- KEYS[1] counters
-- ARGV[1] the counter of a dead node
-- ARGV[2..] nodes
-- Returns {1 when the node is marked, else 0, ...}
local reply = {}
for i = 2, #ARGV do
  local counter = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0)
  if counter > 1 then redis.call('HSET', KEYS[1], ARGV[i], ARGV[1]) end
  if counter == 1 then redis.call('HDEL', KEYS[1], ARGV[i]) end
  reply[i - 1] = (counter > 1 or counter < 0) and 1 or 0
end
return reply
