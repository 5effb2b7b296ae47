#!lua
-- merge: a chunk of places of an unfinished rebuild, with their standby membership.
-- KEYS: see prelude. ARGV: 1 epoch of the rebuild, 2 rebuilder, 3… user, place (at most 512 pairs).
-- Returns 1, or 0 if it is not this rebuild's turn any more (or the server restarted amid it).
local epoch, rebuilder = ARGV[1], ARGV[2]
if sale.next_epoch ~= epoch or sale.rebuilder ~= rebuilder or sale.run_id ~= run_id() then return 0 end

local places, stand, off = {unpack(ARGV, 3)}, {}, {}
for i = 1, #places, 2 do
  local state, _, rank = parse(places[i + 1])
  if state == 'standby' then
    stand[#stand + 1] = rank
    stand[#stand + 1] = places[i]
  else
    off[#off + 1] = places[i]
  end
end
write('HSET', USERS, places)
write('ZADD', STANDBY, stand)
write('ZREM', STANDBY, off)
return 1
