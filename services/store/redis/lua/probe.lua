#!lua flags=allow-oom
-- Does nothing. Redis refuses this script wherever it would refuse a write: on a replica, while replicas are missing, while the disk takes no
-- append-only file, while the Cluster is down, for a slot of another master.
-- @key ANY  any key of the server
-- Returns 1
return 1
