-- The owner of partitions starts again: what was handed out and not deleted is counted once more. ARGV: prefix, then
-- partitions. Answers partition, id, times beyond the first of each.
local answer = {}
for at = 2, #ARGV do
  local partition = ARGV[at]
  local last = redis.call('HGET', prefix .. 'handed-out', partition)
  if last then
    for _, entry in ipairs(redis.call('XRANGE', prefix .. 'signals:' .. partition, '-', last)) do
      answer[#answer + 1] = partition
      answer[#answer + 1] = entry[1]
      answer[#answer + 1] = redis.call('HINCRBY', prefix .. 'again:' .. partition, entry[1], 1)
    end
  end
end
return answer
