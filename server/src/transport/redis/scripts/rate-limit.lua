-- Counts one call in all buckets or in none. ARGV: prefix, now and window in ms, a name for this call, then name and limit
-- of each bucket. Answers the index of the bucket that is full for the longest (from 0) and until when in ms, or nothing.
local now, window, call = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local full, waits = -1, -1
for at = 5, #ARGV, 2 do
  local bucket = prefix .. 'calls:' .. ARGV[at]
  local limit = tonumber(ARGV[at + 1])
  redis.call('ZREMRANGEBYSCORE', bucket, '-inf', string.format('%.3f', now - window))
  local used = redis.call('ZCARD', bucket)
  if used >= limit then
    local first = redis.call('ZRANGE', bucket, used - limit, used - limit, 'WITHSCORES')
    local wait = tonumber(first[2]) + window - now
    if wait > waits then full, waits = (at - 5) / 2, wait end
  end
end
if full >= 0 then return { full, string.format('%.3f', waits) } end
for at = 5, #ARGV, 2 do
  local bucket = prefix .. 'calls:' .. ARGV[at]
  redis.call('ZADD', bucket, ARGV[2], call)
  redis.call('PEXPIRE', bucket, ARGV[3])
end
return {}
