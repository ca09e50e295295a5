#!lua flags=allow-oom
-- Moves a device's cursor, forward only and within the log.
-- KEYS[1..9] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] device
-- ARGV[5..7] epoch, offset and id8 of the position
-- Returns 1 when the cursor moved, else 0
local device, of, offset = ARGV[4], ARGV[5], tonumber(ARGV[6])

-- Byte by byte: Lua's own comparison follows the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function forget_oldest()
  local cursors = redis.call('HGETALL', CURSORS)
  if #cursors / 2 <= MAX_DEVICES then return end
  local oldest_device, oldest_at = device, nil
  for i = 1, #cursors, 2 do
    local name, at = cursors[i], tonumber(string.match(cursors[i + 1], '(%d+)$'))
    if name ~= device and (not oldest_at or at < oldest_at or (at == oldest_at and before(name, oldest_device))) then
      oldest_device, oldest_at = name, at
    end
  end
  redis.call('HDEL', CURSORS, oldest_device)
end

local moves = of == epoch and offset <= top
if moves then
  local held = redis.call('HGET', CURSORS, device)
  local held_epoch, held_offset = string.match(held or '', '^([^ ]*) (%d+) ')
  moves = not (held_epoch == of and tonumber(held_offset) >= offset)
end
if moves then
  local new = redis.call('HSET', CURSORS, device, of .. ' ' .. int(offset) .. ' ' .. ARGV[7] .. ' ' .. int(now)) == 1
  redis.call('PEXPIRE', CURSORS, META_TTL_MS, 'NX')
  if new then forget_oldest() end
end
save()
return moves and 1 or 0
