-- Ends attempts: each signal is in its lane and the task forgotten, or neither. ARGV: prefix, then id, run, signal of each.
for at = 2, #ARGV, 3 do
  local id, run = ARGV[at], ARGV[at + 1]
  local held = heldOf(id)
  if redis.call('HDEL', TAKEN, id) == 1 then
    redis.call('ZREM', LEASES, id)
  else
    local stored = redis.call('HGET', held, id)
    if stored then
      redis.call('ZREM', QUEUE .. typeOf(stored), id)
      redis.call('HDEL', HANDED_BACK, id)
    end
  end
  redis.call('HDEL', held, id)
  signal(run, ARGV[at + 2])
end
