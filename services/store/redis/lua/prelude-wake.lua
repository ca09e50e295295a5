-- Messages to nodes, for the scripts of a log and for batch scripts. services/bus/messages.ts reads them:
--   w<counter> <offset> <epoch> <length of the user> <user><row, unless it is long>
--   k<counter> <1: tokens revoked | 2: displaced | 0> <connection or *> <length of the user> <user><reason>

-- Counts a message and sends it to a node. If the node was found dead, removes it from the registry and returns false.
local function tell(node, registry, counters, kind, head, body)
  local count = redis.call('HINCRBY', counters, node, '1')
  if count < 0 then
    redis.call('HDEL', registry, node)
    return false
  end
  send(node, counters, kind .. count .. head, body)
  return true
end

-- Wakes nodes for a new row. Returns the nodes that were woken.
local function wake_nodes(nodes, registry, counters, user, offset, epoch, row)
  if #nodes == 0 then return nodes end
  local head = ' ' .. offset .. ' ' .. epoch .. ' ' .. #user .. ' ' .. user
  local body = #row <= INLINE_MAX and row or ''
  local told = {}
  for _, node in ipairs(nodes) do
    if tell(node, registry, counters, 'w', head, body) then told[#told + 1] = node end
  end
  return told
end

