-- Ends attempts: each signal is in its lane and the task forgotten, or neither; what somebody else has taken is theirs to
-- report. ARGV: prefix, for how many ms it is known who reported, then worker, id, run, signal, "1" if the worker may
-- repeat it (then it is remembered), of each.
local anyMissed = exists(MISSED)
for at = 3, #ARGV, 5 do
  local worker, id, run = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local held = heldOf(id)
  local value = redis.call('HGET', TAKEN, id)
  local owner = worker
  if value then
    local _, _, _, _, _, taker = takenParts(value)
    owner = taker
  end
  if owner == worker then
    if value then
      redis.call('HDEL', TAKEN, id)
      redis.call('ZREM', LEASES, id)
    else
      local stored = redis.call('HGET', held, id)
      if stored then
        redis.call('ZREM', QUEUE .. typeOf(stored), id)
        redis.call('HDEL', HANDED_BACK, id)
      end
    end
    redis.call('HDEL', held, id)
    signal(run, ARGV[at + 3])
    if ARGV[at + 4] == '1' then redis.call('SET', REPORTED .. id, worker, 'PX', ARGV[2]) end
    local kept = anyMissed and redis.call('ZSCORE', MISSED, id)
    if kept then redis.call('ZADD', FOUND, kept, id) end
  end
end
