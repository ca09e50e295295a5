-- Leaves messages to the node that called the script: they are in its reply, and the node sends them on its own bus. script-texts.ts declares
-- `outgoing`, the list of nodes and messages in turn, around the script.

-- Sends a message to a node in two parts, which are joined only here. prelude-batch.lua replaces this function.
local function send(node, _, head, body)
  local count = #outgoing
  outgoing[count + 1], outgoing[count + 2] = node, head .. body
end

