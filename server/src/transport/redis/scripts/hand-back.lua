-- Gives tasks back to their place in the queue. ARGV: prefix, then ids.
for at = 2, #ARGV do handBack(ARGV[at]) end
