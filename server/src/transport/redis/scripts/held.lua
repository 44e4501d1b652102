-- Tasks that a worker has taken, as they were published. ARGV: prefix, worker, then ids. Those that it has not are left out.
local answer = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  local value = redis.call('HGET', TAKEN, id)
  if value then
    local _, _, _, _, _, owner = takenParts(value)
    local stored = owner == ARGV[2] and redis.call('HGET', heldOf(id), id)
    if stored then
      answer[#answer + 1] = string.sub(stored, string.find(stored, '\n', 1, true) + 1)
    end
  end
end
return answer
