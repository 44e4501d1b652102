-- What every script starts with. ARGV[1] is the prefix of all keys; nothing else knows their names (see keys.ts).
--
-- run:<run>          hash, task id -> "<type>\n<task as JSON>": what the lane holds of a run, queued or taken
-- queue:<type>       zset, task id by its place: microseconds of the publish, each one once
-- taken              hash, task id -> place, deliveries, abort, type, token, worker (see `taken`)
-- leases             zset, task id by the end of its lease, in milliseconds of this server's clock
-- handed-back        hash, task id -> deliveries, of queued tasks that were taken before
-- lost               zset, task id by the time until which it is known to have been reported lost
-- reported:<id>      who reported a task that is gone, where that is remembered; expires
-- missed, found      zsets, task id by the time until which it is known that the lane was asked for it and did not hold
--                    it, and that it was reported since
-- halted, aborted    zset of runs by the time until which the halt is kept; set of those that abort what is taken
-- types              set of types that ever had a queue
-- signals:<n>        stream of a partition; handed-out: hash, partition -> last id that its owner was given;
-- again:<n>          hash, id -> how often it was handed out beyond the first time
local prefix = ARGV[1]
local RUN, QUEUE = prefix .. 'run:', prefix .. 'queue:'
local TAKEN, LEASES, HANDED_BACK = prefix .. 'taken', prefix .. 'leases', prefix .. 'handed-back'
local LOST, HALTED, ABORTED = prefix .. 'lost', prefix .. 'halted', prefix .. 'aborted'
local REPORTED = prefix .. 'reported:'
local MISSED, FOUND = prefix .. 'missed', prefix .. 'found'

local function microseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function exists(key)
  return redis.call('EXISTS', key) == 1
end

-- A task's id begins with its run's, up to the first slash.
local function heldOf(id)
  return RUN .. string.match(id, '^[^/]*')
end

local function runOf(id)
  return string.match(id, '^[^/]*')
end

local function typeOf(stored)
  return string.sub(stored, 1, string.find(stored, '\n', 1, true) - 1)
end

local function signal(run, json)
  redis.call('XADD', prefix .. 'signals:' .. tonumber(string.sub(run, -1), 16), '*', 'r', run, 's', json)
end

-- What becomes of a task that nobody will report: the signal `lost` or `dropped`.
local function outcome(id, kind)
  local run, step, round, attempt = string.match(id, '^([^/]*)/(.*)/(%d+)/(%d+)$')
  signal(run, '{"kind":"' .. kind .. '","key":' .. cjson.encode(step) .. ',"round":' .. round .. ',"attempt":' .. attempt .. '}')
end

local function take(id, place, deliveries, abort, type, token, worker)
  redis.call('HSET', TAKEN, id, table.concat({ place, deliveries, abort, type, token, worker }, '\n'))
end

local function takenParts(value)
  return string.match(value, '^([^\n]*)\n(%d+)\n([01])\n([^\n]*)\n([^\n]*)\n(.*)$')
end

-- Puts tasks into a queue; whoever waits for its type is told when it had been empty.
local function enqueue(type, placesAndIds)
  local queue = QUEUE .. type
  local wasEmpty = not exists(queue)
  redis.call('ZADD', queue, unpack(placesAndIds))
  if wasEmpty then
    redis.call('SADD', prefix .. 'types', type)
    redis.call('PUBLISH', prefix .. 'wake', type)
  end
end

local function handBack(id)
  local value = redis.call('HGET', TAKEN, id)
  if not value then return end
  local place, deliveries, _, type = takenParts(value)
  redis.call('HDEL', TAKEN, id)
  redis.call('ZREM', LEASES, id)
  if redis.call('ZSCORE', HALTED, runOf(id)) then
    redis.call('HDEL', heldOf(id), id)
    outcome(id, 'dropped')
  else
    redis.call('HSET', HANDED_BACK, id, deliveries)
    enqueue(type, { place, id })
  end
end
