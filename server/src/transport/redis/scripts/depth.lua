-- Answers type, waiting, active, age of the oldest in ms (as text) of each type. ARGV: prefix.
local now = microseconds()
local active = {}
for _, value in ipairs(redis.call('HVALS', TAKEN)) do
  local _, _, _, type = takenParts(value)
  active[type] = (active[type] or 0) + 1
end
for _, type in ipairs(redis.call('SMEMBERS', prefix .. 'types')) do active[type] = active[type] or 0 end
local answer = {}
for type, count in pairs(active) do
  local oldest = redis.call('ZRANGE', QUEUE .. type, 0, 0, 'WITHSCORES')
  local age = 0
  if oldest[2] then age = math.max(0, (now - tonumber(oldest[2])) / 1000) end
  answer[#answer + 1] = type
  answer[#answer + 1] = redis.call('ZCARD', QUEUE .. type)
  answer[#answer + 1] = count
  answer[#answer + 1] = string.format('%.0f', age)
end
return answer
