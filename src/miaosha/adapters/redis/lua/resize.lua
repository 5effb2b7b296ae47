#!lua
-- resize: the stock rises to a new total (it never falls here), then standby is promoted.
-- KEYS: see prelude. ARGV: 1 epoch, 2 stock (the new total), 3 limit of promotions (at most 256).
-- Returns a flat list: user, rid, rank, version of each promoted; or a refusal.
local epoch, stock, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local refusal = refused(epoch)
if refusal then return refusal end
if frozen('') then return 'frozen' end

if stock > sale.stock then
  sale.free, sale.stock = sale.free + stock - sale.stock, stock
end
return promote_and_save(limit, {})
