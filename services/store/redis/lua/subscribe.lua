-- Keeps the push subscription of a device, and moves the calls that wait for the device to its lane.
-- @arg device
-- @arg lane
-- @arg subscription  as in prelude-outbox.lua
-- Returns 'kept' | 'full'
begin()
local key = Outbox.key(OUTBOX.SUBSCRIPTIONS)
local old = Outbox.mode == '2' and redis.call('HGET', key, device)
if not old and Outbox.mode == '2' and redis.call('HLEN', key) >= MAX_SUBSCRIPTIONS then
  save()
  return 'full'
end
if old ~= subscription then
  redis.call('HSET', key, device, subscription)
  for _, no in ipairs(old and Outbox.calls_to(device) or {}) do
    local call = Outbox.decode(redis.call('HGET', Outbox.key(OUTBOX.CALLS), no))
    if call.lane ~= lane then
      local at = redis.call('ZSCORE', Outbox.key(OUTBOX.CALL_TIMES), call.lane .. ' ' .. no)
      Outbox.end_call(no, call.lane)
      call.lane = lane
      Outbox.write(no, call, tonumber(at or wall))
    end
  end
  Outbox.grow('2')
end
save()
return 'kept'
