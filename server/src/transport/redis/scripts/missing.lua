-- Which tasks the lane does not hold. ARGV: prefix, how long it is known who was missed in ms, then ids.
local kept = string.format('%.0f', microseconds() / 1000 + tonumber(ARGV[2]))
local answer = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  if redis.call('HEXISTS', heldOf(id), id) == 0 then
    answer[#answer + 1] = id
    redis.call('ZADD', MISSED, kept, id)
  end
end
return answer
