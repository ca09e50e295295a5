-- Converts the options that nodes of an earlier version stored. A step does so once, when it loads a user whom such a node has changed:
-- meta's j is then '1', or '0' if that node knew of no options. This version writes '2' or '', which those nodes take for no options.
--
-- The earlier form: 'i<id>' in OPTIONS for each notification in the log that has options, with '.' for no actions; 'l<collapse key>' -> id;
-- 'l<id>' in EXPIRIES. Beside it there may be options in the present form. Those of notifications that a node of the earlier version
-- removed are stale: each is compared with its row. An expiry that is in OPTIONS, but not in EXPIRIES, is stored again.
do
  local function delete(command, key, names)
    for from = 1, #names, 1000 do redis.call(command, key, unpack(names, from, math.min(from + 999, #names))) end
  end

  -- Returns field -> value of the options of notifications in the log, and the fields.
  local function read_fields()
    local values, names = {}, {}
    local fields = redis.call('HGETALL', OPTIONS)
    for i = 1, #fields, 2 do
      local kind = string.sub(fields[i], 1, 1)
      if kind ~= 'p' and kind ~= 's' then
        values[fields[i]] = fields[i + 1]
        names[#names + 1] = fields[i]
      end
    end
    return values, names
  end

  function Options.convert()
    local values, names = read_fields()
    local found, members = {}, {}

    -- Notes options of the notification at an offset, if its row is there. `id` is nil if it is not known.
    local function note(offset, id, expires_at, actions, key)
      local at = tonumber(offset)
      local row = at > floor and at <= top and redis.call('LINDEX', LOG, at - floor - 1)
      if not row or kind_of(row) ~= 'n' or (id and id_of(row) ~= id) then return end
      local options = found[offset] or { row = row, expires_at = '0', actions = '.', key = '' }
      found[offset] = options
      if expires_at ~= '0' then options.expires_at = expires_at end
      if actions ~= '.' then options.actions = actions end
      if key ~= '' then options.key = key end
    end

    for _, name in ipairs(names) do
      local kind, rest, value = string.sub(name, 1, 1), string.sub(name, 2), values[name]
      if kind == 'i' then
        local offset, expires_at, actions, key = string.match(value, '^(%d+) (%d+) ([^ ]+) (.*)$')
        if offset then note(offset, rest, expires_at, actions, key) end
      elseif kind == 'c' or kind == 'l' then
        local offset, expires_at = collapsed_parts(value, floor, top)
        if offset then note(offset, collapsed_id(value), expires_at, '.', rest) end
      end
    end
    local expiries = redis.call('ZRANGE', EXPIRIES, 0, -1, 'WITHSCORES')
    for i = 1, #expiries, 2 do
      if string.sub(expiries[i], 1, 1) == 'l' then
        members[#members + 1] = expiries[i]
        local offset, key = string.match(expiries[i], '^l(%d%d%d%d%d%d%d%d%d%d%d%d)(.*)$')
        if offset and not values['i' .. string.sub(expiries[i], 2)] then note(int(tonumber(offset)), nil, expiries[i + 1], '.', key) end
      end
    end

    delete('HDEL', OPTIONS, names)
    delete('ZREM', EXPIRIES, members)
    for offset, options in pairs(found) do
      local id, key = id_of(options.row), options.key
      -- A node of the earlier version that knew of no options did not replace the notification before. The key is then that of the later one.
      local owner = values['l' .. key] or values['c' .. key] or ''
      if owner ~= id and collapsed_id(owner) ~= id then key = '' end
      store_options(OPTIONS, EXPIRIES, id, string.sub(options.row, 2, 34), id8_of(options.row), offset, options.expires_at, options.actions, key)
      local answer = options.actions ~= '.' and values['a' .. id]
      if answer then
        redis.call('HSET', OPTIONS, 'a' .. id, answer)
        redis.call('ZREM', EXPIRIES, expiry_member(offset, key))
      end
    end
    Options.changed, times_changed = true, true
    Options.forget_if_none()
  end
end
