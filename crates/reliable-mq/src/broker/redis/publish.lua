-- KEYS: queues of the topic, mark of the message. ARGV: life of the mark in ms, what the names of streams begin with, then the
-- fields of the entry. Answers how many queues have the message.
local queues = redis.call('SMEMBERS', KEYS[1])
if #queues > 0 and redis.call('EXISTS', KEYS[2]) == 1 then return #queues end
local stored = 0
for _, queue in ipairs(queues) do
  if redis.call('XADD', ARGV[2] .. queue, 'NOMKSTREAM', '*', unpack(ARGV, 3)) then stored = stored + 1 end
end
-- Last: a queue that cannot be written to ends the script, and then the repeat must not be taken for one.
if stored > 0 then redis.call('SET', KEYS[2], '', 'PX', ARGV[1]) end
return stored
