-- ARGV: prefix, run.
redis.call('ZREM', HALTED, ARGV[2])
redis.call('SREM', ABORTED, ARGV[2])
