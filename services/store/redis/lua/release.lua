#!lua flags=allow-oom
-- Moves parked notifications to the log, in publish order and as far as the rate has room. Folds those that are many half-lives old into
-- digests.
-- Returns {released, folded, left, next at}
local queue, taken = {}, 0

-- Returns the parked notification at a place behind those taken; 1 is the next. Returns nil past the last.
local function peek(place)
  local index = taken + place
  if index > #queue and #queue < taken + parked then
    local members = redis.call('ZRANGE', PARKED, #queue, #queue + CHUNK - 1)
    for _, member in ipairs(members) do
      local no, half_life, row = string.match(member, '^(%d+) ([^ ]+) (.*)$')
      queue[#queue + 1] = { no = tonumber(no), half_life = tonumber(half_life), row = row }
    end
  end
  return queue[index]
end

-- Takes a notification off the queue. Its idempotency key follows it to the next offset.
local function leave(entry)
  local key = string.sub(id_of(entry.row), 1, 12)
  local place = redis.call('ZSCORE', KEYED, key)
  if place and tonumber(place) == -entry.no then remember(key, top + 1) end
  queue[taken + 1] = false
  taken, parked = taken + 1, parked - 1
end

local function is_worthless(entry)
  return entry.half_life ~= 0 and aged - time_of(entry.row) > FOLD_AFTER_HALF_LIVES * entry.half_life * 1000
end

local released, folded = 0, 0
while parked > 0 and free_slots() > 0 and released < RELEASE_BATCH do
  local entry = peek(1)
  if not entry then
    parked = 0
    break
  end
  make_room(true)
  if is_worthless(entry) then
    local ids = {}
    while entry and is_worthless(entry) do
      ids[#ids + 1] = id_of(entry.row)
      leave(entry)
      entry = peek(1)
    end
    append('d', ids[1], digest_tail(ids, unread))
    folded = folded + #ids
  else
    leave(entry)
    append('n', id_of(entry.row), tail_of(entry.row))
  end
  released = released + 1
end
if taken > 0 then redis.call('ZREMRANGEBYRANK', PARKED, 0, taken - 1) end
schedule()
save()
return { released, folded, parked, parked == 0 and 0 or release_at(0) }
