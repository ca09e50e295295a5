#!lua flags=allow-oom
-- Stores a secret if there is none yet.
-- @key ANY
-- @arg value  hexadecimal
-- Returns the stored secret
redis.call('SET', ANY, value, 'NX')
return redis.call('GET', ANY)
