-- Begins a session, ends the one before it, and notes whose cart has to reach whom.
-- KEYS: the new session, the old one, the mark of the old one's end, the notes
-- ARGV: id of the new session, whether there is one to end, life in seconds, guest, user, member
local new, ends, life, guest, user, member = unpack(ARGV)
if member ~= '' then
    redis.call('SET', KEYS[1], member, 'EX', life)
end
if ends == '' then
    return 0
end
redis.call('DEL', KEYS[2])
local by = redis.call('GET', KEYS[3])
if by then
    return by == new and 1 or 0
end
redis.call('SET', KEYS[3], new, 'EX', life)
if guest ~= '' then
    redis.call('HSET', KEYS[4], guest, user)
end
return 1
