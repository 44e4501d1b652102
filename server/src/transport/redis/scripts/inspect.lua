-- Which tasks the lane holds: 0 none, 1 queued, 2 taken. ARGV: prefix, then ids.
local answer = {}
for at = 2, #ARGV do
  local id = ARGV[at]
  if redis.call('HEXISTS', TAKEN, id) == 1 then
    answer[at - 1] = 2
  else
    answer[at - 1] = redis.call('HEXISTS', heldOf(id), id)
  end
end
return answer
