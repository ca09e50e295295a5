#!lua
-- Finds out whether there is room: the server refuses a script that has not the flag allow-oom while its memory is full.
-- KEYS[1] a key of the server in question
-- Returns 1
return 1
