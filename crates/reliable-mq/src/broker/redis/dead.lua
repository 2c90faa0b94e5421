-- ARGV: first and last place. Answers failures, reason and fields of each, the oldest first; nothing if there is no such queue.
if redis.call('EXISTS', STREAM) == 0 then return nil end
local dead = {}
for _, id in ipairs(redis.call('ZRANGE', DEAD, ARGV[1], ARGV[2])) do
  local _, failures, reason = read_state(id)
  local entry = redis.call('XRANGE', STREAM, id, id)[1]
  dead[#dead + 1] = { failures, reason, entry and entry[2] or {} }
end
return dead
