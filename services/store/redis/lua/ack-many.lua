#!lua flags=allow-oom
-- Moves the cursors of many devices, each as ack.lua does it. A device that is known is done here in few commands; the rest goes to ack.lua.
-- ARGV[1..] as in prelude-many.lua; the fields are stem, user, device, epoch, offset, id8
-- Returns a line for each: 1 when the cursor moved, else 0 | 'error <message>'

-- Whether it moved; nil when the device is not known, or the tag of its place is another.
local function usual(stem, user, device, of, offset, id8)
  local cursors = stem .. 'c:' .. user
  local held = call('HGET', cursors, device)
  if not held then return nil end
  local meta = call('HMGET', stem .. 'm:' .. user, 'e', 't', 'a')
  if meta[1] ~= of or offset > tonumber(meta[2] or 0) then return '0' end
  local held_epoch, held_offset, held_id8 = string.match(held, '^([^ ]*) (%d+) ([^ ]*) ')
  if held_epoch == of and tonumber(held_offset) >= offset then
    if tonumber(held_offset) == offset and held_id8 ~= id8 then return nil end
    return '0'
  end
  if tonumber(meta[3] or 0) > clock then return nil end
  call('HSET', cursors, device, of .. ' ' .. offset .. ' ' .. id8 .. ' ' .. clock)
  return '1'
end

return carry_out(6, function(stem, user, device, of, offset, id8)
  return usual(stem, user, device, of, tonumber(offset), id8)
    or alone(stem, user, { user, ARGV[1], ARGV[2], device, of, offset, id8 })
end)
