#!lua flags=allow-oom
-- Moves the cursors of many devices. Carries out the usual case in few commands: the device is known, and its cursor moves forward or stays.
-- ack-full.lua carries out the rest.
-- @arg clock, new_epoch, items  as in prelude-batch.lua
-- Returns for each item: the line of ack-full.lua | 'error <message>'

-- Returns the line; nil if the device is not known, or the cursor has another tag at the same place.
return carry_out(function(@item)
  local offset = tonumber(acked_offset)
  local cursors = stem .. CURSORS_KIND .. user
  local cursor = call('HGET', cursors, device)
  if not cursor then return nil end
  local meta = call('HMGET', stem .. META_KIND .. user, 'e', 't', 'a', 'd')
  if meta[4] and meta[4] ~= '0' and tonumber(meta[4]) <= wall then return nil end
  if meta[1] ~= acked_epoch or offset > tonumber(meta[2] or 0) then return '0' end
  local cursor_epoch, cursor_offset, cursor_id8 = string.match(cursor, '^([^ ]*) (%d+) ([^ ]*) ')
  if cursor_epoch == acked_epoch and tonumber(cursor_offset) >= offset then
    if tonumber(cursor_offset) == offset and cursor_id8 ~= acked_id8 then return nil end
    return '0'
  end
  if tonumber(meta[3] or 0) > wall then return nil end
  call('HSET', cursors, device, acked_epoch .. ' ' .. acked_offset .. ' ' .. acked_id8 .. ' ' .. wall_text)
  return '1'
end)
