#!lua flags=allow-oom
-- Writes a node's heartbeat, and reads which nodes are live, silent, or dead for long enough to be forgotten. A heartbeat ahead of a clock
-- that was set back counts as of now.
-- @key NODES  zset: node -> its latest heartbeat; minus the time at which it was marked dead
-- @arg node             '' only to read
-- @arg dead_after_ms    a node that was silent for so long is dead
-- @arg forget_after_ms  a node that has been dead for so long is forgotten
-- @arg max_nodes        silent nodes, and nodes to forget, at most
-- Returns {live nodes, silent nodes that are not marked dead, dead nodes to forget, the clock in Unix milliseconds}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if node ~= '' then
  redis.call('ZADD', NODES, now, node)
  for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', NODES, '(' .. string.format('%.0f', now), '+inf')) do
    redis.call('ZADD', NODES, now, ahead)
  end
end
local dead, forgotten = now - dead_after_ms, now - forget_after_ms
return {
  redis.call('ZRANGEBYSCORE', NODES, dead, '+inf'),
  redis.call('ZRANGEBYSCORE', NODES, 0, '(' .. string.format('%.0f', dead), 'LIMIT', 0, max_nodes),
  redis.call('ZRANGEBYSCORE', NODES, string.format('%.0f', -forgotten), '(0', 'LIMIT', 0, max_nodes),
  now
}
