#!lua flags=allow-oom
-- Leases calls of a user in a lane that are due, those first that have been due longest. A call whose reason no longer holds is dropped
-- instead.
-- @arg lane
-- @arg max_calls
-- Returns {dropped, call, ...}; a call: {number, epoch, event, attempt, due at, made at, ...}, behind which a push has offset, row, state,
--         unread, unseen, device, subscription; a fallback: offset, row, state, device, cursor, ...; any other: JSON of what happened
local reply, dropped = { 0 }, 0

-- Returns what a node needs to carry out a call; nil if the reason for it no longer holds, or the call was lost.
local function leased(no, call, at)
  if not call then return nil end
  local common = { tonumber(no), call.epoch, call.event, call.attempts + 1, tonumber(at), tonumber(call.made_at) }
  if call.event ~= 'push' and call.event ~= 'notification.fallback' then
    common[7] = call.rest
    return common
  end
  local row = call.epoch == epoch and row_at(call.offset)
  if not row or kind_of(row) ~= 'n' or id_of(row) ~= call.id or Outbox.is_looked_at(call.id, call.offset, call.unless) then return nil end
  common[7], common[8], common[9] = call.offset, row, redis.call('HGET', STATES, call.id) or 'unread'
  if call.event == 'notification.fallback' then
    for _, part in ipairs(redis.call('HGETALL', CURSORS)) do common[#common + 1] = part end
    return common
  end
  local subscription = redis.call('HGET', Outbox.key(OUTBOX.SUBSCRIPTIONS), call.rest)
  if not subscription then return nil end
  common[10], common[11], common[12], common[13] = unread, Unread.unseen(), call.rest, subscription
  return common
end

local times = Outbox.mode == '0' and {} or redis.call('ZRANGEBYSCORE', Outbox.key(OUTBOX.CALL_TIMES), '-inf', int(wall), 'WITHSCORES')
for i = 1, #times, 2 do
  if #reply > tonumber(max_calls) then break end
  local of, no = string.match(times[i], '^([^ ]+) (%d+)$')
  if of == lane then
    local text = redis.call('HGET', Outbox.key(OUTBOX.CALLS), no)
    local call = text and Outbox.decode(text)
    local item = leased(no, call, times[i + 1])
    if item then
      call.attempts = call.attempts + 1
      Outbox.write(no, call, wall + LEASE_MS)
      reply[#reply + 1] = item
    else
      if call then Outbox.finish(no, call, 'd') else Outbox.end_call(no, lane) end
      dropped = dropped + 1
    end
  end
end
-- The index may name a user whose calls were lost.
if Outbox.mode == '0' then redis.call('ZREM', Outbox.callers(lane), user) else Outbox.changed_lanes[lane] = true end
save()
reply[1] = dropped
return reply
