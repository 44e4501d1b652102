-- Who reported a task, if it said so and not long ago. ARGV: prefix, id.
return redis.call('GET', REPORTED .. ARGV[2])
