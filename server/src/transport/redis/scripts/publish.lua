-- Queues tasks that the lane does not hold. ARGV: prefix, then type, id, JSON of each.
local place = microseconds()
local last = tonumber(redis.call('GET', prefix .. 'last-place') or '0')
if last >= place then place = last + 1 end
local anyHalted, anyLost, anyFound = exists(HALTED), exists(LOST), exists(FOUND)
local added = {}
for at = 2, #ARGV, 3 do
  local type, id, json = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local held = heldOf(id)
  if anyFound and redis.call('ZSCORE', FOUND, id) then
    -- Its result is among the signals of its run: it was reported after whoever publishes it had missed it.
  elseif anyHalted and redis.call('ZSCORE', HALTED, runOf(id)) then
    if redis.call('HEXISTS', held, id) == 0 then outcome(id, 'dropped') end
  elseif redis.call('HSETNX', held, id, type .. '\n' .. json) == 1 then
    if anyLost then redis.call('ZREM', LOST, id) end
    local list = added[type]
    if not list then
      list = {}
      added[type] = list
    end
    list[#list + 1] = string.format('%.0f', place)
    list[#list + 1] = id
    place = place + 1
  end
end
for type, list in pairs(added) do enqueue(type, list) end
redis.call('SET', prefix .. 'last-place', string.format('%.0f', place))
