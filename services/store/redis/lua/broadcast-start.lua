#!lua
-- Starts a broadcast, unless it was started before: fixes its audience, and leases the first batch if no other broadcast of the topic waits.
-- @arg broadcast  id of the broadcast
-- @arg start_key  first characters of the id of the notification, which an Idempotency-Key made; '' for none
-- @arg to         JSON
-- @arg id         of the notification
-- @arg tail, half_life, options  the publish of each member
-- @arg expires_at  Unix milliseconds; 0: never
-- @arg except     names
-- Returns {'started', broadcast[, batch]} | {'replayed', broadcast} | {'conflict'} | {'expired'} | {'full'}; a broadcast as `told`, a batch as
--         `lease_batch`
local key = start_key ~= '' and stem .. 'bk:' .. start_key .. ':' .. topic or ''
local known = load(key ~= '' and call('GET', key) or broadcast)
if known then return known.id == id and { 'replayed', told(known) } or { 'conflict' } end
if tonumber(expires_at) > 0 and tonumber(expires_at) <= now then return { 'expired' } end
if call('LLEN', queue) >= BROADCASTS_MAX then return { 'full' } end
local pending = pending_of(broadcast)
call('UNLINK', hash_of(broadcast), pending, sent_of(broadcast))
local state = { broadcast = broadcast }
change(state, 'to', to, 'status', 'running', 'members', '', 'accepted', '0', 'parked', '0', 'rejected', '0', 'startedAt', int(now), 'finishedAt', '0', 'next', '0',
  'leasedUntil', '0', 'collector', topic == '' and '-' or '', 'isRecalling', '0', 'endedAt', '0', 'id', id, 'tail', tail, 'halfLife', half_life,
  'options', options, 'startKey', key)
if key ~= '' then call('SET', key, broadcast) end
-- The hashes of ended broadcasts expire. Each start looks at two entries, so that fewer than half of them are out of date in the long run.
for _, other in ipairs(call('ZRANDMEMBER', index, 2)) do
  if call('EXISTS', hash_of(other)) == 0 then call('ZREM', index, other) end
end
call('ZADD', index, 0, broadcast)
if topic ~= '' then
  call('SUNIONSTORE', pending, members)
  each_slice(except, function(names) call('SREM', pending, unpack(names)) end)
  local count = call('SCARD', pending)
  change(state, 'members', int(count))
  if count == 0 then
    finish(state)
    return { 'started', told(state) }
  end
end
local is_alone = call('RPUSH', queue, broadcast) == 1
local reply = { 'started', told(state), is_alone and topic ~= '' and lease_batch(state) or nil }
save()
return reply
