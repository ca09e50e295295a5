#!lua flags=no-writes
-- Lists members of a topic. A small set is listed in the order of its bytes; a scan of it returns all. A larger one is scanned. If one step of the
-- scan returns more names than fit, the next page repeats it, and leaves out the names that were listed.
-- @arg mode    'sorted' | 'scan'
-- @arg after   sorted: the last name of the page before, or ''; scan: the cursor
-- @arg limit
-- @arg listed  digests of the names that earlier pages listed from the scan at the cursor
-- Returns {mode, after, number of members, member, ..., digest, ...}; the mode is '' for the last page
local max = tonumber(limit)
local items, cursor, digests, is_listed = {}, after, listed, {}

local function digest_of(name)
  return string.sub(redis.sha1hex(name), 1, 12)
end

-- Scans from the cursor. Returns the next cursor, and the names that were not listed. They are more than `wanted` only if they are the fewest that
-- a scan returns.
local function scan(wanted)
  local count = math.max(1, math.floor(wanted / 2))
  while true do
    local scanned = call('SSCAN', members, cursor, 'COUNT', count)
    local names = {}
    for _, name in ipairs(scanned[2]) do
      if #digests == 0 or not is_listed[digest_of(name)] then names[#names + 1] = name end
    end
    if #names <= wanted or count == 1 then return scanned[1], names end
    count = 1
  end
end

local function reply_of(place)
  local reply = { place and mode or '', place or '', #items }
  for _, list in ipairs({ items, digests }) do
    for _, text in ipairs(list) do reply[#reply + 1] = text end
  end
  return reply
end

if mode == 'sorted' then
  local scanned = call('SSCAN', members, '0', 'COUNT', 1)
  if scanned[1] == '0' then
    local sorted = {}
    for _, name in ipairs(scanned[2]) do
      if is_before(after, name) then sorted[#sorted + 1] = name end
    end
    table.sort(sorted, is_before)
    for i = 1, math.min(#sorted, max) do items[i] = sorted[i] end
    return reply_of(#sorted > max and sorted[max])
  end
  mode, cursor = 'scan', '0'
end
for _, digest in ipairs(digests) do is_listed[digest] = true end
while #items < max do
  local wanted = max - #items
  local next_cursor, names = scan(wanted)
  if #names > wanted then
    if #items > 0 then break end
    for i = 1, wanted do
      items[i] = names[i]
      digests[#digests + 1] = digest_of(names[i])
    end
    break
  end
  for _, name in ipairs(names) do items[#items + 1] = name end
  cursor, digests = next_cursor, {}
  if cursor == '0' then return reply_of() end
end
return reply_of(cursor)
