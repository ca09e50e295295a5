-- Reads and writes rows of a log, as services/store/row.ts does: kind (1) | milliseconds (13) | id (20) | tag (8) | tail.

local function kind_of(row)
  return string.sub(row, 1, 1)
end

local function time_of(row)
  return tonumber(string.sub(row, 2, 14))
end

local function id_of(row)
  return string.sub(row, 15, 34)
end

local function id8_of(row)
  return string.sub(row, 35, 42)
end

local function tail_of(row)
  return string.sub(row, 43)
end

-- A notification or a digest; every other row is a change.
local function is_entry(row)
  local kind = kind_of(row)
  return kind == 'n' or kind == 'd'
end

-- Returns the row with another kind and tail. Time, id and tag stay.
local function rewritten(row, kind, tail)
  return kind .. string.sub(row, 2, 42) .. tail
end

-- Returns the ids that an `s` or `d` row names.
local function ids_in(row)
  local ids = {}
  local list = string.match(row, '"ids":%[([^%]]*)%]', 43) or ''
  for id in string.gmatch(list, '"([^"]*)"') do ids[#ids + 1] = id end
  return ids
end

local function quoted(ids)
  return #ids == 0 and '' or '"' .. table.concat(ids, '","') .. '"'
end

-- The tails below are the JSON of a frame from after the id to the last brace. `counts` is from `Unread.counts`.

local function state_tail(ids, state, counts)
  return '"ids":[' .. quoted(ids) .. '],"state":"' .. state .. '",' .. counts .. '}'
end

-- Returns an `s` row with fewer ids.
local function with_ids(row, ids)
  local rest = string.match(row, '^"ids":%[[^%]]*%](.*)$', 43)
  return rewritten(row, 's', '"ids":[' .. quoted(ids) .. ']' .. rest)
end

local function digest_tail(ids, counts)
  return '"count":' .. #ids .. ',"ids":[' .. quoted(ids) .. '],' .. counts .. '}'
end

-- `offset` is that of the row that is recalled; `reason` is JSON. Collapse keys have no characters that JSON escapes but " and \.
local function retraction_tail(offset, id, reason, counts, collapse_key)
  local common = '"id":"' .. id .. '","reason":' .. reason .. ',' .. counts
  if collapse_key == '' then return offset .. common .. '}' end
  return '0' .. common .. ',"collapseKey":"' .. string.gsub(collapse_key, '[\\"]', '\\%0') .. '"}'
end

-- `device` is JSON.
local function answered_tail(id, action, answered_at, device, counts)
  return '"id":"' .. id .. '","action":"' .. action .. '","answeredAt":' .. answered_at .. ',"deviceId":' .. device .. ',' .. counts .. '}'
end

