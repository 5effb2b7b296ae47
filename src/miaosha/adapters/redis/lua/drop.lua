#!lua
-- drop: a settled sale's state goes, whichever server it was written to. A settled sale is never
-- rebuilt, so an older epoch (a failover) may go too; a newer one is somebody else's business.
-- KEYS: see prelude. ARGV: 1 epoch.
-- Returns 1 (also if nothing was there), or a refusal.
local epoch = tonumber(ARGV[1])
local at = math.max(tonumber(sale.epoch or 0), tonumber(sale.next_epoch or 0))
if at > epoch then return 'epoch' end

redis.call('UNLINK', META, USERS, STANDBY, UNGRANTED, BATCHES)
return 1
