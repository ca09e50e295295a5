#!lua flags=allow-oom
-- Moves a device's cursor, forward only and within the log. At the cursor's own place it may correct the tag.
-- @arg device
-- @arg acked_epoch, acked_offset, acked_id8  the position
-- Returns '1' when the cursor moved, else '0'
local offset = tonumber(acked_offset)

local moves = acked_epoch == epoch and offset <= top
if moves then
  local cursor = redis.call('HGET', CURSORS, device)
  local cursor_epoch, cursor_offset, cursor_id8 = string.match(cursor or '', '^([^ ]*) (%d+) ([^ ]*) ')
  if cursor_epoch == acked_epoch and tonumber(cursor_offset) >= offset then
    -- A cursor at a row that was lost has another tag than the row that took its place. An acknowledgement of the new row corrects the tag.
    moves = tonumber(cursor_offset) == offset and cursor_id8 ~= acked_id8 and acked_id8 ~= '' and id8_at(offset) == acked_id8
  end
end
if moves then set_cursor(device, acked_epoch, offset, acked_id8) end
save()
return moves and '1' or '0'
