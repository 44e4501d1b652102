-- How many signals are not decided yet, over all partitions. ARGV: prefix, number of partitions.
local count = 0
for partition = 0, tonumber(ARGV[2]) - 1 do count = count + redis.call('XLEN', prefix .. 'signals:' .. partition) end
return count
