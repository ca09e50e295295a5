-- Appends a notification, parks it over the rate, or finds that it is there already.
-- KEYS[1..9] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] id
-- ARGV[5] '1' when an Idempotency-Key made the id
-- ARGV[6] the row's tail
-- ARGV[7] half-life, seconds; 0: none
-- Returns {'accepted', epoch, offset, nodes woken, replayed} | {'parked', release at, replayed}
--         | {'full', retry after ms} | {'conflict'}
local id, keyed, tail, half_life = ARGV[4], ARGV[5] == '1', ARGV[6], ARGV[7]
local key = string.sub(id, 1, 12)

local function replayed(place)
  if place > 0 then
    local row = row_at(place)
    local kind = row and kind_of(row)
    if (kind == 'n' or kind == 'x') and id_of(row) ~= id then return { 'conflict' } end
    return { 'accepted', epoch, place, 0, 1 }
  end
  local member = redis.call('ZRANGEBYSCORE', PARKED, -place, -place)[1]
  if not member then return { 'parked', wall, 1 } end
  if id_of(string.match(member, '^%d+ [^ ]+ (.*)$')) ~= id then return { 'conflict' } end
  return { 'parked', release_at(redis.call('ZRANK', PARKED, member)), 1 }
end

local place = keyed and epoch ~= '' and redis.call('ZSCORE', KEYED, key)
if place then
  local result = replayed(tonumber(place))
  save()
  return result
end

begin()
if parked > 0 or free_slots() == 0 then
  local at = release_at(parked)
  if parked >= PARKED_MAX then
    save()
    return { 'full', at - wall }
  end
  park_no, parked, latest = park_no + 1, parked + 1, now
  local row = 'n' .. string.format('%013.0f', now) .. id .. tail
  redis.call('ZADD', PARKED, park_no, int(park_no) .. ' ' .. half_life .. ' ' .. row)
  redis.call('PEXPIRE', PARKED, META_TTL_MS, 'NX')
  if keyed then remember(key, -park_no) end
  schedule()
  save()
  return { 'parked', at, 0 }
end
if keyed then remember(key, top + 1) end
local woken = append('n', id, tail)
local offset = top
save()
return { 'accepted', epoch, offset, woken, 0 }
