#!lua
-- begin: a rebuild takes the epoch away, so that every other script is refused until its finish.
-- Not over an epoch, or an unfinished rebuild, that is not lower. Time begins anew with it: a
-- server's clock that was set, and set right again, must not hold the sale's time still.
-- KEYS: see prelude. ARGV: 1 epoch of the rebuild, 2 rebuilder (its lease id).
-- Returns 1 if the rebuild is under way, 0 if not.
local epoch, rebuilder, here = ARGV[1], ARGV[2], run_id()
local mine = sale.next_epoch == epoch and sale.rebuilder == rebuilder and sale.run_id == here
if mine then return 1 end
local at = math.max(tonumber(sale.epoch or 0), tonumber(sale.next_epoch or 0))
if at >= tonumber(epoch) then return 0 end

redis.call('HDEL', META, 'epoch')
redis.call('HSET', META, 'next_epoch', epoch, 'rebuilder', rebuilder, 'run_id', here,
  'phase', 'frozen', 'clock_ms', server_ms)
return 1
