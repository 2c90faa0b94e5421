-- ARGV: id of a dead message, whether it goes into the queue again. Answers 1 if it was dead, 0 if not, nothing if there is no
-- such queue.
if redis.call('EXISTS', STREAM) == 0 then return nil end
local id = redis.call('HGET', BURIED, ARGV[1])
local entry = id and redis.call('XRANGE', STREAM, id, id)[1]
-- A new entry: no delivery of the old one can be taken for one of it.
if entry and ARGV[2] == '1' then redis.call('XADD', STREAM, '*', unpack(entry[2])) end
if id then
  redis.call('HDEL', BURIED, ARGV[1])
  redis.call('ZREM', DEAD, id)
  forget(id)
end
return entry and 1 or 0
