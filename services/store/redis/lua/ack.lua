#!lua flags=allow-oom
-- Moves a device's cursor, forward only and within the log.
-- KEYS[1..10] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] device
-- ARGV[5..7] epoch, offset and id8 of the position
-- Returns 1 when the cursor moved, else 0
local device, of, offset = ARGV[4], ARGV[5], tonumber(ARGV[6])

local moves = of == epoch and offset <= top
if moves then
  local held = redis.call('HGET', CURSORS, device)
  local held_epoch, held_offset = string.match(held or '', '^([^ ]*) (%d+) ')
  moves = not (held_epoch == of and tonumber(held_offset) >= offset)
end
if moves then set_cursor(device, of, offset, ARGV[7]) end
save()
return moves and 1 or 0
