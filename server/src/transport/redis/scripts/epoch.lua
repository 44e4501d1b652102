-- The name of what this server holds, given at the first look after it was empty. ARGV: prefix, a new name.
local epoch = redis.call('GET', prefix .. 'epoch')
if epoch then return epoch end
redis.call('SET', prefix .. 'epoch', ARGV[2])
return ARGV[2]
