#!lua
-- phase: open or paused, and the closing time. A frozen sale is thawed by its own rebuild only.
-- KEYS: see prelude. ARGV: 1 epoch, 2 rebuilder ('' = none), 3 phase, 4 closes_at (Unix ms).
-- Returns 1, or a refusal.
local epoch, rebuilder, phase, closes_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refusal = refused(epoch)
if refusal then return refusal end
if frozen(rebuilder) then return 'frozen' end

redis.call('HSET', META, 'phase', phase, 'closes_at_ms', closes_at, 'rebuilder', '', 'clock_ms', now)
return 1
