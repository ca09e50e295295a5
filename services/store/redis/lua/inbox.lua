#!lua flags=allow-oom
-- One page of the retained notifications, newest first.
-- KEYS[1..10] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] epoch of the place before which to read; '' to read from the newest
-- ARGV[5] offset of that place
-- ARGV[6] items at most
-- ARGV[7..] states wanted; none given: all
-- Returns {epoch, unread, next | 0, offset, row, state, ...} | {}: the epoch is another's
if ARGV[4] ~= '' and ARGV[4] ~= epoch then
  save()
  return {}
end
local limit, wanted = tonumber(ARGV[6]), nil
if #ARGV >= 7 then
  wanted = {}
  for i = 7, #ARGV do wanted[ARGV[i]] = true end
end
local reply, items, more = { epoch, unread, 0 }, 0, false
local last = ARGV[4] == '' and top or math.min(top, tonumber(ARGV[5]) - 1)
while last > floor and not more do
  local first = math.max(floor + 1, last - CHUNK + 1)
  local rows = redis.call('LRANGE', LOG, first - floor - 1, last - floor - 1)
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = id_of(row) end
  local states = states_of(ids)
  for i = #rows, 1, -1 do
    local state = states[ids[i]] or 'unread'
    if kind_of(rows[i]) == 'n' and (not wanted or wanted[state]) then
      if items == limit then
        more = true
        break
      end
      items = items + 1
      reply[#reply + 1] = first + i - 1
      reply[#reply + 1] = rows[i]
      reply[#reply + 1] = state
    end
  end
  last = first - 1
end
if more then reply[3] = reply[#reply - 2] end
save()
return reply
