#!lua flags=allow-oom
-- Finds one notification: in the log, parked, or folded into a digest.
-- @arg id
-- Returns {} | {'log', epoch, offset, row, state} | {'parked', row, release at} | {'digest', epoch, offset, id8}

local function find()
  for from = 0, parked - 1, CHUNK do
    for i, member in ipairs(redis.call('ZRANGE', PARKED, from, from + CHUNK - 1)) do
      local row = string.match(member, '^%d+ [^ ]+ (.*)$')
      if id_of(row) == id then return { 'parked', row, release_at(from + i - 1) } end
    end
  end
  local found, digest
  each_row(top, function(row, offset)
    local kind = kind_of(row)
    if kind == 'n' and id_of(row) == id then
      found = { 'log', epoch, offset, row, states_of({ id })[id] or 'unread' }
      return true
    end
    if kind == 'd' and not digest then
      for _, named in ipairs(ids_in(row)) do
        if named == id then digest = { 'digest', epoch, offset, id8_of(row) } end
      end
    end
  end)
  return found or digest or {}
end

local result = find()
save()
return result
