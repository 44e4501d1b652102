-- Takes the oldest tasks of each type. ARGV: prefix, worker, token of this call, lease in ms, then type and limit of each.
-- Answers deliveries and JSON of each task.
local worker, token = ARGV[2], ARGV[3]
local lease = string.format('%.0f', microseconds() / 1000 + tonumber(ARGV[4]))
local anyHandedBack = exists(HANDED_BACK)
local answer, leases = {}, {}
for at = 5, #ARGV, 2 do
  local type = ARGV[at]
  local popped = redis.call('ZPOPMIN', QUEUE .. type, ARGV[at + 1])
  for index = 1, #popped, 2 do
    local id, place = popped[index], popped[index + 1]
    local stored = redis.call('HGET', heldOf(id), id)
    if stored then
      local deliveries = 1
      if anyHandedBack then
        local before = redis.call('HGET', HANDED_BACK, id)
        if before then
          deliveries = tonumber(before) + 1
          redis.call('HDEL', HANDED_BACK, id)
        end
      end
      take(id, place, deliveries, 0, type, token, worker)
      leases[#leases + 1] = lease
      leases[#leases + 1] = id
      answer[#answer + 1] = deliveries
      answer[#answer + 1] = string.sub(stored, #type + 2)
    end
  end
end
if #leases > 0 then redis.call('ZADD', LEASES, unpack(leases)) end
return answer
