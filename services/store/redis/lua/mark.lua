#!lua flags=allow-oom
-- Sets the state of notifications and tells every device by one `s` row.
-- KEYS[1..10] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] id for the row
-- ARGV[5] the state: unread | seen | read | archived
-- ARGV[6] epoch up to which to mark; '' when ids are given
-- ARGV[7] offset up to which to mark, or 0
-- ARGV[8] milliseconds since the mark was made: what was marked later than that stays
-- ARGV[9..] ids
-- Returns {unread, ids}: the ids whose state changed | {}: the epoch is another's
if ARGV[6] ~= '' and ARGV[6] ~= epoch then
  save()
  return {}
end
local RANK = { unread = 0, seen = 1, read = 2, archived = 3 }
local to, ids, states_before, later = ARGV[5], {}, {}, {}

local function add(id, state)
  if later[id] then return end
  ids[#ids + 1] = id
  states_before[id] = state
end

-- The wanted ids that are in the log; looks from the newest row back, since marks go to what was shown last.
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

-- Times never fall: reads from the newest row back to the first that is not later than the mark.
local made = now - tonumber(ARGV[8])
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

-- Fills `ids` with those whose state changes.
local function find()
  ids, states_before = {}, {}
  if ARGV[6] == '' and #ARGV >= 9 then
    local wanted, distinct = {}, {}
    for i = 9, #ARGV do
      if not wanted[ARGV[i]] then
        wanted[ARGV[i]] = true
        distinct[#distinct + 1] = ARGV[i]
      end
    end
    local found, states = known(wanted, #distinct), states_of(distinct)
    for _, id in ipairs(distinct) do
      local from = states[id] or 'unread'
      if found[id] and from ~= to and (to ~= 'seen' or from == 'unread') then add(id, from) end
    end
  elseif ARGV[6] ~= '' then
    local candidates = {}
    each_row(math.min(tonumber(ARGV[7]), top), function(row)
      if kind_of(row) == 'n' then candidates[#candidates + 1] = id_of(row) end
    end)
    local states = states_of(candidates)
    for _, id in ipairs(candidates) do
      local from = states[id] or 'unread'
      if from ~= 'archived' and ((to == 'unread' and from ~= 'unread') or (to ~= 'unread' and RANK[from] < RANK[to])) then
        add(id, from)
      end
    end
  end
end

find()
if #ids > 0 and make_room(false) then find() end
for _, id in ipairs(ids) do
  if counts_as_unread(states_before[id]) then unread = unread - 1 end
  if counts_as_unread(to) then unread = unread + 1 end
  if to == 'unread' then redis.call('HDEL', STATES, id) else redis.call('HSET', STATES, id, to) end
end
if #ids > 0 then
  if to ~= 'unread' then redis.call('PEXPIRE', STATES, META_TTL_MS, 'NX') end
  append('s', ARGV[4], '"ids":[' .. quoted(ids) .. '],"state":"' .. to .. '","unread":' .. int(unread) .. '}')
end
save()
return { unread, ids }
