-- Reports tasks lost whose lease ran out. ARGV: prefix, lease in ms, how long lost tasks and halts are known in ms, at most
-- so many at a time. Answers how many it found.
local LIMIT = tonumber(ARGV[5])
local now = math.floor(microseconds() / 1000)
local text = string.format('%.0f', now)
local last = tonumber(redis.call('GET', prefix .. 'reaped-at') or '0')
redis.call('SET', prefix .. 'reaped-at', text)
-- After a pause of this server, of the whole machine or of all who reap, leases ran out that nobody could prolong: the
-- workers get one more turn to do so.
if now - last > tonumber(ARGV[2]) / 2 then return 0 end
local ids = redis.call('ZRANGEBYSCORE', LEASES, '-inf', text, 'LIMIT', 0, LIMIT)
for _, id in ipairs(ids) do
  redis.call('ZREM', LEASES, id)
  redis.call('HDEL', TAKEN, id)
  redis.call('HDEL', heldOf(id), id)
  redis.call('ZADD', LOST, string.format('%.0f', now + tonumber(ARGV[3])), id)
  outcome(id, 'lost')
end
for _, known in ipairs({ LOST, MISSED, FOUND }) do redis.call('ZREMRANGEBYSCORE', known, '-inf', text) end
for _, run in ipairs(redis.call('ZRANGEBYSCORE', HALTED, '-inf', text, 'LIMIT', 0, LIMIT)) do
  if exists(RUN .. run) then
    redis.call('ZADD', HALTED, string.format('%.0f', now + tonumber(ARGV[4])), run)
  else
    redis.call('ZREM', HALTED, run)
    redis.call('SREM', ABORTED, run)
  end
end
return #ids
