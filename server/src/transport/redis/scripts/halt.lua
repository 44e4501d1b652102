-- Drops what is queued of a run, and keeps that it is halted. ARGV: prefix, run, "1" to abort what is taken, kept for ms.
local run, abort = ARGV[2], ARGV[3]
redis.call('ZADD', HALTED, string.format('%.0f', microseconds() / 1000 + tonumber(ARGV[4])), run)
if abort == '1' then redis.call('SADD', ABORTED, run) end
for _, id in ipairs(redis.call('HKEYS', RUN .. run)) do
  local value = redis.call('HGET', TAKEN, id)
  if value then
    if abort == '1' then
      local place, deliveries, _, type, token, worker = takenParts(value)
      take(id, place, deliveries, 1, type, token, worker)
    end
  else
    local stored = redis.call('HGET', RUN .. run, id)
    redis.call('ZREM', QUEUE .. typeOf(stored), id)
    redis.call('HDEL', HANDED_BACK, id)
    redis.call('HDEL', RUN .. run, id)
    outcome(id, 'dropped')
  end
end
