#!lua flags=allow-oom
-- Reads one page of the scheduled notifications, in order of delivery.
-- @arg after_at, after_no  the place behind which to read; 0 and 0 to read from the next
-- @arg max_items
-- Returns {time and number of the last item if more follow, else 0 and 0, then deliver at and row of each item}
local reply, items, limit = { 0, 0 }, 0, tonumber(max_items)
local members = nearest_at == 0 and {} or redis.call('ZRANGEBYSCORE', SCHEDULED, after_at, '+inf', 'WITHSCORES')
local last
for i = 1, #members, 2 do
  local waiting, at = Waiting.decode(members[i]), members[i + 1]
  if tonumber(at) > tonumber(after_at) or waiting.no > tonumber(after_no) then
    if items == limit then
      reply[1], reply[2] = last.at, last.no
      break
    end
    items = items + 1
    last = { at = tonumber(at), no = waiting.no }
    reply[#reply + 1] = last.at
    reply[#reply + 1] = waiting.row
  end
end
save()
return reply
