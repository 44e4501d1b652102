-- Ends attempts: each signal is in its lane and the task forgotten, or neither. ARGV: prefix, for how many ms it is known
-- who reported, then id, run, signal, reporter of each; a reporter without a name is not remembered.
for at = 3, #ARGV, 4 do
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
  if ARGV[at + 3] ~= '' then redis.call('SET', REPORTED .. id, ARGV[at + 3], 'PX', ARGV[2]) end
end
