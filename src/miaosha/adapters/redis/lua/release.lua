#!lua
-- release: a hold ended in SQL; in the same step its unit goes to the head of standby, or to free.
-- Acts only if the place still holds under that rid.
-- KEYS: see prelude. ARGV: 1 epoch, 2 user, 3 rid, 4 reason (expired | declined), 5 version of
-- the SQL row.
-- Returns {user, rid, rank, version} of the promoted, {} if nobody was, or a refusal.
local epoch, user, rid, reason, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local refusal = refused(epoch)
if refusal then return refusal end

local place = redis.call('HGET', USERS, user)
if not place then return {} end
local state, own, rank, version, pay_by = parse(place)
if state ~= 'held' or own ~= rid then return {} end

sale.held, sale.free = sale.held - 1, sale.free + 1
local places = {user, format(reason, rid, rank, math.max(version + 1, row), pay_by)}
local promoted = promote_and_save(1, places)
off_ungranted(user, rid)
return promoted
