-- Publishes one notification: appends it, parks it over the rate, or finds that it was published before.
-- @arg id
-- @arg keyed      '1' if an Idempotency-Key made the id
-- @arg tail       the row's tail
-- @arg half_life  seconds; 0: none
-- Returns a line: 'accepted <epoch> <offset> <nodes woken> <replayed> <id8>' | 'parked <release at> <replayed>' | 'recalled'
--         | 'full <retry after ms>' | 'conflict'
local key = string.sub(id, 1, 12)

-- Returns the id that the key made first: from BODIES, or from the row at its place, which is its own or the digest it was folded into.
local function first_id(kept, place)
  if kept then return key .. string.sub(kept, 2) end
  local row = row_at(place)
  for _, named in ipairs(row and (kind_of(row) == 'd' and ids_in(row) or { id_of(row) }) or {}) do
    if string.sub(named, 1, 12) == key then return named end
  end
end

local function replayed(place)
  if place < 0 then
    local member = redis.call('ZRANGEBYSCORE', PARKED, -place, -place)[1]
    if not member then return { 'recalled' } end
    if id_of(string.match(member, '^%d+ [^ ]+ (.*)$')) ~= id then return { 'conflict' } end
    return { 'parked', release_at(redis.call('ZRANK', PARKED, member)), 1 }
  end
  local kept = redis.call('HGET', BODIES, key)
  if first_id(kept, place) ~= id then return { 'conflict' } end
  if kept and string.sub(kept, 1, 1) == 'r' then return { 'recalled' } end
  return { 'accepted', epoch, place, 0, 1, id8_at(place) }
end

local place = keyed == '1' and epoch ~= '' and redis.call('ZSCORE', KEYED, key)
if place then
  local result = replayed(tonumber(place))
  save()
  return table.concat(result, ' ')
end

begin()
if parked > 0 or free_slots() == 0 then
  local at = release_at(parked)
  if parked >= PARKED_MAX then
    save()
    return 'full ' .. at - wall
  end
  park_no, parked, latest = park_no + 1, parked + 1, now
  local row = 'n' .. string.format('%013.0f', now) .. id .. NO_TAG .. tail
  redis.call('ZADD', PARKED, park_no, int(park_no) .. ' ' .. half_life .. ' ' .. row)
  redis.call('PEXPIRE', PARKED, META_TTL_MS, 'NX')
  if keyed == '1' then remember(key, -park_no) end
  schedule()
  save()
  return 'parked ' .. at .. ' 0'
end
make_room(true)
if keyed == '1' then remember(key, top + 1) end
local woken = append('n', id, tail)
save()
return table.concat({ 'accepted', epoch, top, woken, 0, chain }, ' ')
