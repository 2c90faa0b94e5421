-- ARGV: entry, delivery, 1 if it failed, microseconds to wait, reason.
local id, delivery, failed, wait = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local failures = take(id, delivery)
if not failures then return 0 end
local due = now() + wait
if failed == 0 then
  -- As if it had waited since it came: before all that came later.
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  due = math.min(due, ms * 1000 + math.min(tonumber(sequence), 999))
end
redis.call('ZADD', DELAYED, due, id)
write_state(id, delivery, failures + failed, ARGV[5])
return 1
