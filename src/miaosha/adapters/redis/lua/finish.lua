#!lua
-- finish: the counters of a rebuilt sale, still frozen; the epoch comes back, last of all.
-- KEYS: see prelude. ARGV: 1 epoch of the rebuild, 2 rebuilder, 3 stock, 4 held, 5 paid, 6 seq (the
-- highest rank SQL knows), 7 closes_at (Unix ms), 8 standby_limit.
-- Returns 1, or 0 if it is not this rebuild's turn any more (or the server restarted amid it).
local epoch, rebuilder, here = ARGV[1], ARGV[2], run_id()
if sale.rebuilder ~= rebuilder or sale.run_id ~= here then return 0 end
if sale.epoch == epoch and sale.phase == 'frozen' then return 1 end
if sale.next_epoch ~= epoch then return 0 end

local stock, held, paid = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local last = redis.call('ZREVRANGE', STANDBY, 0, 0, 'WITHSCORES')[2]
local seq = math.max(sale.seq, tonumber(ARGV[6]), tonumber(last or 0))
redis.call('DEL', UNGRANTED)
redis.call('HDEL', META, 'next_epoch')
redis.call('HSET', META, 'stock', stock, 'free', stock - held - paid, 'held', held, 'paid', paid,
  'refused', sale.refused, 'seq', seq, 'closes_at_ms', ARGV[7], 'standby_limit', ARGV[8],
  'clock_ms', now, 'run_id', here, 'phase', 'frozen', 'epoch', epoch)
return 1
