#!lua flags=allow-oom
-- A node's heartbeat, and which nodes are live, silent, or dead for long enough to be forgotten. A heartbeat ahead of a clock that was set back
-- counts as of now.
-- KEYS[1] nodes    zset: node -> its latest heartbeat; minus the time of the burial once it was found dead
-- ARGV[1] node; '' only asks
-- ARGV[2] a node that was silent this long is dead, milliseconds
-- ARGV[3] a dead node is forgotten after this, milliseconds
-- ARGV[4] silent nodes, and nodes to forget, at most
-- Returns {live nodes, silent nodes that are not buried, buried nodes to forget, the clock in Unix milliseconds}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')) do
    redis.call('ZADD', KEYS[1], now, ahead)
  end
end
local dead, forgotten = now - ARGV[2], now - ARGV[3]
return {
  redis.call('ZRANGEBYSCORE', KEYS[1], dead, '+inf'),
  redis.call('ZRANGEBYSCORE', KEYS[1], 0, '(' .. string.format('%.0f', dead), 'LIMIT', 0, ARGV[4]),
  redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', -forgotten), '(0', 'LIMIT', 0, ARGV[4]),
  now
}
