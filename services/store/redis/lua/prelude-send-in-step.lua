-- Sends messages within the step, by Redis Pub/Sub. One of this file and prelude-send-by-node.lua stands in front of prelude-wake.lua.

-- Sends a message to a node in two parts, which are joined only here. prelude-batch.lua replaces this function.
local function send(node, counters, head, body)
  redis.call('SPUBLISH', counters .. ':' .. node, head .. body)
end

