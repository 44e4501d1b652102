-- Gives back what calls of `take` took whose answer never arrived. ARGV: prefix, then the tokens of those calls.
local tokens = {}
for at = 2, #ARGV do tokens[ARGV[at]] = true end
local all = redis.call('HGETALL', TAKEN)
for at = 1, #all, 2 do
  local _, _, _, _, token = takenParts(all[at + 1])
  if tokens[token] then handBack(all[at]) end
end
