#!lua flags=no-writes
-- heads: the first buyers of standby by rank.
-- KEYS: see prelude. ARGV: 1 limit (at most 1000).
-- Returns a flat list: user, rid, version of each, in order of position.
local users = redis.call('ZRANGE', STANDBY, 0, tonumber(ARGV[1]) - 1)
if #users == 0 then return {} end

local answer = {}
for i, place in ipairs(redis.call('HMGET', USERS, unpack(users))) do
  local _, rid, _, version = parse(place)
  for _, value in ipairs({tonumber(users[i]), rid, version}) do answer[#answer + 1] = value end
end
return answer
