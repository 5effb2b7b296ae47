#!lua
-- board: the hash of live sales is replaced as a whole. The field `written_ms` keeps an empty
-- board apart from a lost one; `version` tells readers whether anything changed.
-- KEYS: 1 sales. ARGV: 1 version (a digest of what follows), then id, sale as JSON, …
-- Returns 1.
local version = ARGV[1]
local time = redis.call('TIME')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'written_ms', time[1] * 1000 + math.floor(time[2] / 1000),
  'version', version)
for i = 2, #ARGV, 500 do
  redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 499, #ARGV)))
end
return 1
