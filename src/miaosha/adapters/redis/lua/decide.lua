#!lua
-- decide: each request of a batch gets one letter, recorded once and for all: h held, s standby,
-- r a live place was there already, o sold out, c closed. Newcomers never overtake standby.
-- KEYS: see prelude. ARGV: 1 epoch, 2 rebuilder ('' = none), 3 batch_id, 4 accepted_at (Unix ms),
-- 5 indices that SQL has answered already (comma-separated, from 0), 6… user ids (at most 512).
-- Returns {letters, 1 fresh | 0 recorded before, place or nil of each user}, or a refusal.
local epoch, rebuilder, batch, accepted_at = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local refusal = refused(epoch)
if refusal then return refusal end
if frozen(rebuilder) then return 'frozen' end

local users = {unpack(ARGV, 6)}
local places = #users > 0 and redis.call('HMGET', USERS, unpack(users)) or {}
local recorded = redis.call('HGET', BATCHES, batch)
if recorded then return {recorded, 0, unpack(places, 1, #users)} end
if sale.phase == 'paused' then return 'paused' end

local answered, letters, changed = {}, {}, {}
for index in string.gmatch(ARGV[5], '%d+') do answered[tonumber(index) + 1] = true end
local put, stand, hold = {}, {}, {}
local free, seq, refused_more = sale.free, sale.seq, 0
local waiting, closed = redis.call('ZCARD', STANDBY), accepted_at >= sale.closes_at_ms
for i = 1, #users do
  local user = users[i]
  local letter, state, rid, rank, version = 'o', 'none', '', '', 0
  local place = changed[user] or places[i]
  if place then state, rid, rank, version = parse(place) end
  if answered[i] or state == 'held' or state == 'standby' or state == 'paid' then letter = 'r'
  elseif closed then letter = 'c'
  elseif free > 0 and waiting == 0 then letter, free, state = 'h', free - 1, 'held'
  elseif waiting < sale.standby_limit then letter, waiting, state = 's', waiting + 1, 'standby'
  else refused_more = refused_more + 1 end
  if letter == 'h' or letter == 's' then
    seq = seq + 1
    rid = batch .. '.' .. (i - 1)
    place = state .. '|' .. rid .. '|' .. seq .. '|' .. (version + 1) .. '|0'
    changed[user] = place
    put[#put + 1] = user
    put[#put + 1] = place
    local list = letter == 's' and stand or hold
    list[#list + 1] = letter == 's' and seq or now
    list[#list + 1] = letter == 's' and user or rid .. '|' .. user .. '|0'
  end
  letters[i] = letter
end
for i = 1, #put > 0 and #users or 0 do places[i] = changed[users[i]] or places[i] end

write('HSET', USERS, put)
write('ZADD', STANDBY, stand)
write('ZADD', UNGRANTED, hold)
local text = table.concat(letters)
redis.call('HSET', BATCHES, batch, text)
redis.call('HSET', META, 'free', free, 'held', sale.held + sale.free - free, 'seq', seq,
  'refused', sale.refused + refused_more, 'clock_ms', now)
return {text, 1, unpack(places, 1, #users)}
