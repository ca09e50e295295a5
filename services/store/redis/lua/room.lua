#!lua
-- Does nothing. While the server's memory is full, the server refuses this script, because it lacks the flag allow-oom.
-- @key META  a key of the server in question
-- Returns 1
return 1
