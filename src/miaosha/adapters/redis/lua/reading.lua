#!lua flags=no-writes
-- reading: the counters of a sale in one step.
-- KEYS: see prelude. ARGV: none.
-- Returns nil if nothing is known, or {epoch (0 = none), 1 if this is the server the sale was
-- written to, phase, stock, free, held, paid, refused, seq, standby, standby_limit, ungranted,
-- batches, closes_at (Unix ms), now (Unix ms), ms that now is ahead of the server's clock}.
if not sale.phase then return false end
return {
  tonumber(sale.epoch or 0), sale.run_id == run_id() and 1 or 0, sale.phase, sale.stock, sale.free,
  sale.held, sale.paid, sale.refused, sale.seq, redis.call('ZCARD', STANDBY), sale.standby_limit,
  redis.call('ZCARD', UNGRANTED), redis.call('HLEN', BATCHES), sale.closes_at_ms, now,
  now - server_ms,
}
