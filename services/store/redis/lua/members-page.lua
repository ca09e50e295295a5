#!lua flags=no-writes
-- Lists members of a topic. A small set is listed in the order of its bytes; a scan of it returns all. A larger one is scanned, and names that a scan
-- returned over the limit are handed back, for the next page.
-- @arg mode   'sorted' | 'scan'
-- @arg after  sorted: the last name of the page before, or ''; scan: the cursor, or '' if the scan has ended
-- @arg limit
-- @arg names  those handed back by the page before
-- Returns {mode, after, number of members, member, ..., name handed back, ...}; the mode is '' for the last page
local max = tonumber(limit)
local items, rest, cursor = {}, {}, after
if mode == 'sorted' then
  local scanned = call('SSCAN', members, '0', 'COUNT', 1)
  if scanned[1] == '0' then
    local sorted = {}
    for _, name in ipairs(scanned[2]) do
      if is_before(after, name) then sorted[#sorted + 1] = name end
    end
    table.sort(sorted, is_before)
    local is_last = #sorted <= max
    local reply = { is_last and '' or 'sorted', is_last and '' or sorted[max], math.min(#sorted, max) }
    for i = 1, math.min(#sorted, max) do reply[#reply + 1] = sorted[i] end
    return reply
  end
  cursor = '0'
end
for _, name in ipairs(names) do
  if call('SISMEMBER', members, name) == 1 then
    local list = #items < max and items or rest
    list[#list + 1] = name
  end
end
while cursor ~= '' and #items < max do
  local wanted = max - #items
  local scanned = call('SSCAN', members, cursor, 'COUNT', math.max(1, math.floor(wanted / 2)))
  if #scanned[2] > wanted and #items > 0 then break end
  for _, name in ipairs(scanned[2]) do
    local list = #items < max and items or rest
    list[#list + 1] = name
  end
  cursor = scanned[1] == '0' and '' or scanned[1]
end
local is_last = cursor == '' and #rest == 0
local reply = { is_last and '' or 'scan', cursor, #items }
for _, list in ipairs({ items, rest }) do
  for _, name in ipairs(list) do reply[#reply + 1] = name end
end
return reply
