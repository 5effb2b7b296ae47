-- Put a parked message back at the end of its queue, once.
-- KEYS  1 the stream of parked messages, 2 the queue's stream (one server: not for a cluster)
-- ARGV  1 id of the parked entry, 2 the message's bytes
-- Returns 1 done, 0 it is not parked any more, -1 the queue does not exist (then it stays parked)
local parked, queue = KEYS[1], KEYS[2]
local id, raw = ARGV[1], ARGV[2]
if redis.call('EXISTS', queue) == 0 then return -1 end
if redis.call('XDEL', parked, id) == 0 then return 0 end
redis.call('XADD', queue, '*', 'b', raw)
return 1
