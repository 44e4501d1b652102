-- Counts one call in all buckets or in none. ARGV: prefix, now and window in ms, a name for this call, then name and limit
-- of each bucket. Answers 1 if the call was counted, the index (from 0) of the bucket that says most about it, how many
-- calls still fit into that, and until when one more does, in ms. That is the bucket which is full for the longest, or, of
-- a call that was counted, the one with the least left.
local now, window, call = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local function until_gone(bucket, rank)
  return tonumber(redis.call('ZRANGE', bucket, rank, rank, 'WITHSCORES')[2]) + window - now
end

local full, waits = -1, -1
for at = 5, #ARGV, 2 do
  local bucket = prefix .. 'calls:' .. ARGV[at]
  local limit = tonumber(ARGV[at + 1])
  redis.call('ZREMRANGEBYSCORE', bucket, '-inf', string.format('%.3f', now - window))
  local used = redis.call('ZCARD', bucket)
  if used >= limit then
    local wait = until_gone(bucket, used - limit)
    if wait > waits then full, waits = (at - 5) / 2, wait end
  end
end
if full >= 0 then return { 0, full, 0, string.format('%.3f', waits) } end

local tightest, least, resets
for at = 5, #ARGV, 2 do
  local bucket = prefix .. 'calls:' .. ARGV[at]
  redis.call('ZADD', bucket, ARGV[2], call)
  redis.call('PEXPIRE', bucket, ARGV[3])
  local left = tonumber(ARGV[at + 1]) - redis.call('ZCARD', bucket)
  if not least or left < least then tightest, least, resets = (at - 5) / 2, left, until_gone(bucket, 0) end
end
return { 1, tightest, least, string.format('%.3f', resets) }
