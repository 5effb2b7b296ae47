#!lua
-- settle: a hold was paid in SQL. Acts only if the place still holds under that rid.
-- KEYS: see prelude. ARGV: 1 epoch, 2 user, 3 rid, 4 version of the SQL row.
-- Returns 1 if this call moved the place, 0 if not, or a refusal.
local epoch, user, rid, row = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local refusal = refused(epoch)
if refusal then return refusal end

local place = redis.call('HGET', USERS, user)
if not place then return 0 end
local state, own, rank, version, pay_by = parse(place)
if state ~= 'held' or own ~= rid then return 0 end

redis.call('HSET', USERS, user, format('paid', rid, rank, math.max(version + 1, row), pay_by))
redis.call('HSET', META, 'held', sale.held - 1, 'paid', sale.paid + 1, 'clock_ms', now)
off_ungranted(user, rid)
return 1
