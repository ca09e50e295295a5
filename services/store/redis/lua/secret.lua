#!lua flags=allow-oom
-- Keeps a secret, unless there is one.
-- @key ANY
-- @arg value  hexadecimal
-- Returns the secret that is kept
redis.call('SET', ANY, value, 'NX')
return redis.call('GET', ANY)
