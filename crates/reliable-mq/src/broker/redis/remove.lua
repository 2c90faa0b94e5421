-- KEYS: all of the queue, the last its topics. ARGV: queue, what the names of routes begin with.
for _, topic in ipairs(redis.call('SMEMBERS', KEYS[#KEYS])) do redis.call('SREM', ARGV[2] .. topic, ARGV[1]) end
return redis.call('UNLINK', unpack(KEYS))
