#!lua
-- granted: SQL has committed a hold: off `ungranted`, and its pay_by copied for display. The place
-- is the row's, so it takes the row's version and raises none of its own.
-- KEYS: see prelude. ARGV: 1 epoch, 2 user, 3 rid, 4 pay_by (Unix ms), 5 version of the SQL row.
-- Returns 1 if this call changed something, 0 if not, or a refusal.
local epoch, user, rid, pay_by, row = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local refusal = refused(epoch)
if refusal then return refusal end

local place = redis.call('HGET', USERS, user)
local state, own, rank, version, known
if place then state, own, rank, version, known = parse(place) end
local removed = off_ungranted(user, rid)
if state == 'held' and own == rid and (removed > 0 or pay_by > known) then
  pay_by = math.max(pay_by, known)
  redis.call('HSET', USERS, user, format(state, rid, rank, math.max(version, row), pay_by))
  redis.call('HSET', META, 'clock_ms', now)
  removed = 1
end
return removed
