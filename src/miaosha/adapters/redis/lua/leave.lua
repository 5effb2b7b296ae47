#!lua
-- leave: a buyer gives up a standby place. A hold is not given up here: the caller declines it.
-- KEYS: see prelude. ARGV: 1 epoch, 2 user, 3 rid of the place to give up ('' = whichever).
-- Returns {place or nil as it is after}, or a refusal.
local epoch, user, rid = ARGV[1], ARGV[2], ARGV[3]
local refusal = refused(epoch)
if refusal then return refusal end
if frozen('') then return 'frozen' end

local place = redis.call('HGET', USERS, user)
if not place then return {false} end
local state, own, rank, version, pay_by = parse(place)
if state ~= 'standby' or (rid ~= '' and own ~= rid) then return {place} end

place = format('left', own, rank, version + 1, pay_by)
redis.call('HSET', USERS, user, place)
redis.call('ZREM', STANDBY, user)
redis.call('HSET', META, 'clock_ms', now)
return {place}
