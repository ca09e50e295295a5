#!lua flags=allow-oom
-- Sets the state of notifications and tells every device by one `s` row.
-- @arg row_id                      id for the `s` row
-- @arg state                       unread | seen | read | archived
-- @arg only                        marks only the notifications that have this state; '' for all
-- @arg up_to_epoch, up_to_offset   the place up to which to mark; '' and 0 if ids are given
-- @arg age_ms                      milliseconds since the mark was made: notifications that were marked later keep their state
-- @arg wanted_ids
-- Returns {unread, unseen, ids whose state changed} | {} if `up_to_epoch` is not that of the log
if up_to_epoch ~= '' and up_to_epoch ~= epoch then
  save()
  return {}
end
local RANK = { unread = 0, seen = 1, read = 2, archived = 3 }
local ids, states_before, later = {}, {}, {}

-- Returns whether the mark changes this state, as services/store/marks.ts.
local function is_changed(from)
  if only ~= '' and from ~= only then return false end
  if up_to_epoch == '' or only ~= '' then return from ~= state and (state ~= 'seen' or from == 'unread') end
  if from == 'archived' then return false end
  if state == 'unread' then return from ~= 'unread' end
  return RANK[from] < RANK[state]
end

local function add(id, from)
  if later[id] or not is_changed(from) then return end
  ids[#ids + 1] = id
  states_before[id] = from
end

-- Returns the wanted ids that are in the log. Reads from the newest row back, because most marks concern recent notifications.
local function known(wanted, missing)
  local found = {}
  local last = top
  while last > floor and missing > 0 do
    local first = math.max(floor + 1, last - CHUNK + 1)
    for _, row in ipairs(redis.call('LRANGE', LOG, first - floor - 1, last - floor - 1)) do
      local id = id_of(row)
      if kind_of(row) == 'n' and wanted[id] and not found[id] then
        found[id] = true
        missing = missing - 1
      end
    end
    last = first - 1
  end
  return found
end

-- Collects the ids that were marked later. Times of rows never fall, so this reads from the newest row back to the first row that is not
-- later than the mark.
local made = now - tonumber(age_ms)
local last_later = latest > made and top or floor
while last_later > floor do
  local first = math.max(floor + 1, last_later - CHUNK + 1)
  local rows = redis.call('LRANGE', LOG, first - floor - 1, last_later - floor - 1)
  last_later = first - 1
  for i = #rows, 1, -1 do
    if time_of(rows[i]) <= made then
      last_later = floor
      break
    end
    if kind_of(rows[i]) == 's' then
      for _, id in ipairs(ids_in(rows[i])) do later[id] = true end
    end
  end
end

-- Fills `ids` with those whose state changes, and `states_before`.
local function find()
  ids, states_before = {}, {}
  if up_to_epoch == '' and #wanted_ids > 0 then
    local wanted, distinct = {}, {}
    for _, id in ipairs(wanted_ids) do
      if not wanted[id] then
        wanted[id] = true
        distinct[#distinct + 1] = id
      end
    end
    local found, states = known(wanted, #distinct), states_of(distinct)
    for _, id in ipairs(distinct) do
      if found[id] then add(id, states[id] or 'unread') end
    end
  elseif up_to_epoch ~= '' then
    local candidates = {}
    each_row(math.min(tonumber(up_to_offset), top), function(row)
      if kind_of(row) == 'n' then candidates[#candidates + 1] = id_of(row) end
    end)
    local states = states_of(candidates)
    for _, id in ipairs(candidates) do add(id, states[id] or 'unread') end
  end
end

find()
if #ids > 0 and make_room(false) then find() end
for _, id in ipairs(ids) do
  Unread.change(states_before[id], state)
  if state == 'unread' then redis.call('HDEL', STATES, id) else redis.call('HSET', STATES, id, state) end
end
if #ids > 0 then
  if state ~= 'unread' then redis.call('PEXPIRE', STATES, META_TTL_MS, 'NX') end
  append('s', row_id, state_tail(ids, state, Unread.counts()))
end
local reply = { unread, Unread.unseen(), ids }
save()
return reply
