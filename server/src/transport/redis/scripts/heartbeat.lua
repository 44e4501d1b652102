-- Prolongs leases. ARGV: prefix, worker, lease in ms, then id, type, JSON of each; an empty JSON says only "I have it".
-- Answers three lists of ids: to abort, lost, and not held (to be sent again with its JSON).
local worker = ARGV[2]
local now = microseconds()
local lease = string.format('%.0f', now / 1000 + tonumber(ARGV[3]))
local anyLost, anyAborted = exists(LOST), exists(ABORTED)
local abort, lost, unknown = {}, {}, {}
for at = 4, #ARGV, 3 do
  local id, type, json = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local value = redis.call('HGET', TAKEN, id)
  local aborts, isOurs = '0', false
  if anyLost and redis.call('ZSCORE', LOST, id) then
    lost[#lost + 1] = id
  elseif value then
    local _, _, flag, _, _, owner = takenParts(value)
    if owner == worker then
      aborts, isOurs = flag, true
    else
      lost[#lost + 1] = id
    end
  elseif redis.call('HEXISTS', heldOf(id), id) == 1 then
    -- Queued again after the lane had forgotten it: who performs it keeps it.
    local place = redis.call('ZSCORE', QUEUE .. type, id)
    redis.call('ZREM', QUEUE .. type, id)
    redis.call('HDEL', HANDED_BACK, id)
    take(id, place or string.format('%.0f', now), 1, 0, type, '-', worker)
    isOurs = true
  elseif json == '' then
    unknown[#unknown + 1] = id
  else
    redis.call('HSET', heldOf(id), id, type .. '\n' .. json)
    take(id, string.format('%.0f', now), 1, 0, type, '-', worker)
    isOurs = true
  end
  if isOurs then
    redis.call('ZADD', LEASES, lease, id)
    if aborts == '1' or (anyAborted and redis.call('SISMEMBER', ABORTED, runOf(id)) == 1) then
      abort[#abort + 1] = id
    end
  end
end
return { abort, lost, unknown }
