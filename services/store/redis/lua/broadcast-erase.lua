#!lua flags=allow-oom
-- Removes the name of an erased user from broadcasts of the bucket, and from additions to topics that a node began and did not finish. The numbers of
-- the members of the broadcasts, and the batches, stay as they are.
-- @arg user
-- @arg after  id of the broadcast with which the step before ended; '' for the first step
-- Returns the id of the broadcast with which this step ended; '' if there are no more
local LOOKED_AT_MAX, MEMBERS_MAX = 100, 50000

local function erase_in(state)
  local pending, sent = pending_of(state.broadcast), sent_of(state.broadcast)
  local is_pending = call('SREM', pending, user) == 1
  if is_pending or state.collector ~= '' then
    local erasures = call('HINCRBY', hash_of(state.broadcast), 'erasures', 1)
    if is_pending then call('SADD', pending, ERASED .. erasures) end
  end
  local place = call('LPOS', sent, user)
  if place then call('LSET', sent, place, ERASED) end
  local to = cjson.decode(state.to)
  local except = {}
  for _, name in ipairs(to.except) do
    if name ~= user then except[#except + 1] = cjson.encode(name) end
  end
  if #except == #to.except then return end
  local audience = to.topic and '"topic":' .. cjson.encode(to.topic) or '"everyone":true'
  change(state, 'to', '{' .. audience .. ',"except":[' .. table.concat(except, ',') .. ']}')
end

if after == '' then
  for _, name in ipairs(call('SMEMBERS', additions)) do call('HDEL', stem .. 'tj:' .. name, user) end
end
local from = after == '' and '-' or '(' .. after
local broadcasts = call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, LOOKED_AT_MAX)
local looked_at = 0
for i, broadcast in ipairs(broadcasts) do
  local state = load(broadcast)
  if state then
    erase_in(state)
    looked_at = looked_at + call('LLEN', sent_of(broadcast))
  else
    call('UNLINK', hash_of(broadcast), pending_of(broadcast), sent_of(broadcast))
    call('ZREM', index, broadcast)
  end
  if looked_at > MEMBERS_MAX and i < #broadcasts then return broadcast end
end
return #broadcasts == LOOKED_AT_MAX and broadcasts[#broadcasts] or ''
