-- What every script of a sale begins with (the loader puts it after a script's first line).
-- KEYS: 1 meta, 2 users, 3 standby, 4 ungranted, 5 batches; all of one sale, one hash tag.
-- Reads the sale's counters into `sale` and the time into `now`; writes nothing by itself.
-- A refusal is a plain string (epoch, run_id, frozen, paused); every other answer is not.
local META, USERS, STANDBY, UNGRANTED, BATCHES = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local TEXTS, FIELDS = 5, {'epoch', 'next_epoch', 'run_id', 'rebuilder', 'phase',
  'stock', 'free', 'held', 'paid', 'refused', 'seq', 'clock_ms', 'closes_at_ms', 'standby_limit'}

local sale, found = {}, redis.call('HMGET', META, unpack(FIELDS))
for i, name in ipairs(FIELDS) do
  if i <= TEXTS then sale[name] = found[i] else sale[name] = tonumber(found[i] or 0) end
end

-- Unix ms: of this server, and never less than any script of this sale has seen in its epoch.
local time = redis.call('TIME')
local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = math.max(server_ms, sale.clock_ms)

local function run_id() return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end

-- Another epoch, none (lost, or amid a rebuild), or another server than the sale was written to.
local function refused(epoch)
  if sale.epoch ~= epoch then return 'epoch' end
  if sale.run_id ~= run_id() then return 'run_id' end
end

local function frozen(rebuilder)
  return sale.phase == 'frozen' and (rebuilder == '' or rebuilder ~= sale.rebuilder)
end

-- A place is `state|rid|rank|version|pay_by_ms`.
local function parse(place)
  local state, rid, rank, version, pay_by = string.match(place, '^(%a+)|([^|]*)|(%d+)|(%d+)|(%d+)$')
  return state, rid, rank, tonumber(version), tonumber(pay_by)
end

local function format(state, rid, rank, version, pay_by)
  return string.format('%s|%s|%.0f|%.0f|%.0f', state, rid, rank, version, pay_by)
end

-- command(key, items…), a thousand items at a time (unpack and the Lua stack have a limit).
local function write(command, key, items)
  for i = 1, #items, 1000 do
    redis.call(command, key, unpack(items, i, math.min(i + 999, #items)))
  end
end

local function off_ungranted(user, rid)
  local hold = rid .. '|' .. user
  return redis.call('ZREM', UNGRANTED, hold .. '|0', hold .. '|1')
end

-- Standby heads become holds while units are free, at most `limit` <= 256, and all is written:
-- the heads, what the caller has put into `places` (user, place, …), and the counters.
-- Returns a flat list: user, rid, rank, version of each that was promoted.
local function promote_and_save(limit, places)
  local n, promoted, holds = math.min(limit, sale.free), {}, {}
  local heads = n > 0 and redis.call('ZRANGE', STANDBY, 0, n - 1) or {}
  local before = #heads > 0 and redis.call('HMGET', USERS, unpack(heads)) or {}
  for i, user in ipairs(heads) do
    local _, rid, rank, version, pay_by = parse(before[i])
    places[#places + 1] = user
    places[#places + 1] = format('held', rid, rank, version + 1, pay_by)
    holds[#holds + 1] = now
    holds[#holds + 1] = rid .. '|' .. user .. '|1'
    for _, value in ipairs({user, rid, rank, string.format('%.0f', version + 1)}) do
      promoted[#promoted + 1] = value
    end
  end
  if #heads > 0 then redis.call('ZREMRANGEBYRANK', STANDBY, 0, #heads - 1) end
  write('HSET', USERS, places)
  write('ZADD', UNGRANTED, holds)
  redis.call('HSET', META, 'stock', sale.stock, 'free', sale.free - #heads,
    'held', sale.held + #heads, 'paid', sale.paid, 'clock_ms', now)
  return promoted
end
