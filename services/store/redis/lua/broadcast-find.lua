#!lua flags=no-writes
-- Reads a broadcast.
-- @arg broadcast
-- Returns it as `told`; {} if there is none, or it is no longer kept
local state = load(broadcast)
return state and told(state) or {}
