#!lua flags=no-writes
-- place: a buyer's place with what is derived from its neighbours. In every phase and epoch.
-- KEYS: see prelude. ARGV: 1 user.
-- Returns nil, or {place, 1 if SQL does not know the hold yet, position on standby from 1 or 0}.
local user = ARGV[1]
local place = redis.call('HGET', USERS, user)
if not place then return false end

local state, rid = parse(place)
local position, ungranted = 0, 0
if state == 'standby' then
  position = (redis.call('ZRANK', STANDBY, user) or -1) + 1
elseif state == 'held' then
  local hold = rid .. '|' .. user
  if redis.call('ZSCORE', UNGRANTED, hold .. '|0') or redis.call('ZSCORE', UNGRANTED, hold .. '|1') then
    ungranted = 1
  end
end
return {place, ungranted, position}
