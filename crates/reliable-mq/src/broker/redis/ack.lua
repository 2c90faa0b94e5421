-- ARGV: entry, delivery.
if not take(ARGV[1], tonumber(ARGV[2])) then return 0 end
forget(ARGV[1])
return 1
