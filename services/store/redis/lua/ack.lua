#!lua flags=allow-oom
-- Moves a device's cursor, forward only and within the log; at its place it may put the tag right.
-- KEYS[1..10] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] device
-- ARGV[5..7] epoch, offset and id8 of the position
-- Returns 1 when the cursor moved, else 0
local device, of, offset = ARGV[4], ARGV[5], tonumber(ARGV[6])

local moves = of == epoch and offset <= top
if moves then
  local held = redis.call('HGET', CURSORS, device)
  local held_epoch, held_offset, held_id8 = string.match(held or '', '^([^ ]*) (%d+) ([^ ]*) ')
  if held_epoch == of and tonumber(held_offset) >= offset then
    -- A cursor at a row that was lost has another tag than the row that took its place: an acknowledgement of that row puts it right.
    local id8 = ARGV[7]
    moves = tonumber(held_offset) == offset and held_id8 ~= id8 and id8 ~= '' and id8_at(offset) == id8
  end
end
if moves then set_cursor(device, of, offset, ARGV[7]) end
save()
return moves and 1 or 0
