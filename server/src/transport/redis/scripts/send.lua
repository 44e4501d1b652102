-- Puts signals into the lanes of their runs. ARGV: prefix, then run and JSON of each.
for at = 2, #ARGV, 2 do signal(ARGV[at], ARGV[at + 1]) end
