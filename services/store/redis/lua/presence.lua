-- Notes that the user arrived on a node or left it. An arrival of a user without a connection comes late, and is ignored.
-- @arg change  arrived | left
-- Returns 1 if a call was made; else 0
local kind = Outbox.presence()
if not OUTBOX.GRACE_MS then
  save()
  return 0
end
if change == 'left' then
  if kind == 'w' then Outbox.watch('l', wall + OUTBOX.GRACE_MS) end
elseif kind ~= 'w' and Outbox.is_connected() then
  begin()
  Outbox.watch('w', wall + OUTBOX.PRESENCE_MS)
  if not kind and OUTBOX.TELLS_ONLINE then Outbox.call('webhook', 'user.online', '-', 0, '-', '{"at":' .. int(wall) .. '}') end
end
save()
return Outbox.called > 0 and 1 or 0
