-- Reads the clock that the argument `clock` tells: Unix milliseconds; '' for the clock of the server; '<' and Unix milliseconds for the
-- clock of the server, with rows that have aged no further than to that time, because a step of the clock is not age.
-- Returns the time, and the time up to which rows have aged.
local function read_clock()
  local given = tonumber(clock)
  if given then return given, given end
  local time = redis.call('TIME')
  local server = time[1] * 1000 + math.floor(time[2] / 1000)
  return server, math.min(server, tonumber(string.sub(clock, 2)) or server)
end

