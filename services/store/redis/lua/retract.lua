#!lua flags=allow-oom
-- Recalls a notification: removes it from the parked ones, or empties its row and appends an `r` row that tells every device.
-- @arg row_id  id for the `r` row
-- @arg id      id of the notification
-- @arg reason  JSON
-- Returns 'retracted' | 'unparked' | 'unknown' | 'folded'

local function parked_member()
  for from = 0, parked - 1, CHUNK do
    for _, member in ipairs(redis.call('ZRANGE', PARKED, from, from + CHUNK - 1)) do
      if id_of(string.match(member, '^%d+ [^ ]+ (.*)$')) == id then return member end
    end
  end
end

local function retract()
  local member = parked_member()
  if member then
    redis.call('ZREM', PARKED, member)
    parked = parked - 1
    local key = string.sub(id, 1, 12)
    local place = redis.call('ZSCORE', KEYED, key)
    if place and tonumber(place) == -tonumber(string.match(member, '^%d+')) then
      redis.call('HSET', BODIES, key, 'r' .. string.sub(id, 13))
      redis.call('PEXPIRE', BODIES, META_TTL_MS, 'NX')
      remember(key, top)
    end
    schedule()
    return 'unparked'
  end
  local place, found, folded
  local function look(row, offset)
    local kind = kind_of(row)
    if kind == 'n' and id_of(row) == id then
      place, found = offset, row
      return true
    end
    if kind == 'd' and not folded then
      for _, named in ipairs(ids_in(row)) do folded = folded or named == id end
    end
  end
  each_row(top, look)
  if place and make_room(false) then
    place = nil
    each_row(top, look)
  end
  if not place then return folded and 'folded' or 'unknown' end
  if counts_as_unread(states_of({ id })[id]) then unread = unread - 1 end
  redis.call('HDEL', STATES, id)
  redis.call('LSET', LOG, place - floor - 1, rewritten(found, 'x', ''))
  changes = changes + 1
  append('r', row_id, retraction_tail(place, id, reason, unread))
  return 'retracted'
end

local result = retract()
save()
return result
