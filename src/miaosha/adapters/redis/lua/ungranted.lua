#!lua flags=no-writes
-- ungranted: holds that SQL has not been asked for, oldest first, with the epoch to grant them by.
-- KEYS: see prelude. ARGV: 1 older_than (ms before now), 2 limit (at most 512).
-- Returns {epoch, then rid, user, rank, version, promoted (0|1) of each}; epoch 0 and none when
-- the epoch is gone or the server is not the one the sale was written to.
local older_than, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
if not sale.epoch or sale.run_id ~= run_id() then return {0} end

local answer = {tonumber(sale.epoch)}
local holds = redis.call('ZRANGEBYSCORE', UNGRANTED, '-inf', now - older_than, 'LIMIT', 0, limit)
for _, hold in ipairs(holds) do
  local rid, user, promoted = string.match(hold, '^([^|]*)|(%d+)|([01])$')
  local place = redis.call('HGET', USERS, user)
  local state, own, rank, version
  if place then state, own, rank, version = parse(place) end
  if state == 'held' and own == rid then
    for _, value in ipairs({rid, tonumber(user), tonumber(rank), version, tonumber(promoted)}) do
      answer[#answer + 1] = value
    end
  end
end
return answer
