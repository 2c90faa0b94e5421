-- KEYS: list of the sealed, list of the tombstoned. ARGV: least age of each, most entries of each.
local at, reply = now(), {}
for stage = 1, 2 do
  local latest = at - tonumber(ARGV[stage])
  local found = redis.call('ZRANGEBYSCORE', KEYS[stage], '-inf', latest, 'WITHSCORES', 'LIMIT', 0, ARGV[3])
  for i = 1, #found, 2 do
    reply[#reply + 1] = stage
    reply[#reply + 1] = at - found[i + 1]
    reply[#reply + 1] = found[i]
  end
end
return reply
