#!lua
-- promote: standby heads become holds, by rank, while units are free.
-- KEYS: see prelude. ARGV: 1 epoch, 2 rebuilder ('' = none), 3 limit (at most 256).
-- Returns a flat list: user, rid, rank, version of each; or a refusal.
local epoch, rebuilder, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local refusal = refused(epoch)
if refusal then return refusal end
if frozen(rebuilder) then return 'frozen' end
if sale.free <= 0 then return {} end

return promote_and_save(limit, {})
