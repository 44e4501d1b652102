-- Deletes signals that are decided. ARGV: prefix, then partition and id of each.
local lanes = {}
for at = 2, #ARGV, 2 do
  local lane = lanes[ARGV[at]]
  if not lane then
    lane = {}
    lanes[ARGV[at]] = lane
  end
  lane[#lane + 1] = ARGV[at + 1]
end
for partition, ids in pairs(lanes) do
  redis.call('XDEL', prefix .. 'signals:' .. partition, unpack(ids))
  local again = prefix .. 'again:' .. partition
  if exists(again) then redis.call('HDEL', again, unpack(ids)) end
end
