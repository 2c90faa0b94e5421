-- KEYS: stream, topics of the queue. ARGV: queue, what the names of routes begin with, then topics.
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], GROUP, '0', 'MKSTREAM')
if made.err and not string.find(made.err, '^BUSYGROUP') then return made end
for i = 3, #ARGV do
  redis.call('SADD', KEYS[2], ARGV[i])
  redis.call('SADD', ARGV[2] .. ARGV[i], ARGV[1])
end
return 1
