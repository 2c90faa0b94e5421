//! The scripts. None of them reads a clock or builds a key; all of them but [`CONSUME`] know their caller by an owner, so
//! the service may repeat them. The runner does not: one place repeats, and it uses the same owner.

use std::sync::LazyLock;

use onceward_backend::RedisScript;

/// Reads and writes the record of [`codec`](crate::record::codec). `since` is the time since the record was written, which
/// only its time to live knows.
const RECORD: &str = r"
local function read(key)
  local v = redis.call('GET', key)
  if not v then return nil end
  if v:byte(1) ~= 1 then return { state = '?' } end
  local r = { state = v:sub(2, 2), flags = v:byte(3), owner = v:sub(40, 55), fp = v:sub(56, 87), rest = v:sub(88) }
  r.attempt, r.tail, r.lease, r.life, r.ran = struct.unpack('>I4I8I8I8I8', v, 4)
  r.ttl = redis.call('PTTL', key)
  if r.state == 'I' then r.life = math.max(0, r.ttl - r.tail) end
  if r.state == 'C' then
    local since = math.max(0, r.lease + r.tail - r.ttl)
    r.left = math.max(0, r.ttl - r.tail)
    r.life = math.max(0, r.life - since)
    r.ran = r.ran + since
  end
  return r
end
local function write(key, r, ttl)
  redis.call('SET', key, '\1' .. r.state .. string.char(r.flags)
    .. struct.pack('>I4I8I8I8I8', r.attempt, r.tail, r.lease, r.life, r.ran)
    .. r.owner .. r.fp .. r.rest, 'PX', math.max(1, ttl))
end
-- Where holder, purpose and user end and the result begins.
local function names(rest)
  local at = 1
  for _ = 1, 3 do at = at + 1 + rest:byte(at) end
  return at
end
";

fn with_record(script: &str) -> RedisScript {
    RedisScript::once(&format!("{RECORD}{script}"))
}

/// KEYS record, pointer; ARGV record, id, ttl.
pub(super) static ISSUE_LATEST: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::once(
        r"
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3], 'NX')
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1",
    )
});

/// KEYS record [, pointer]; ARGV owner, fingerprint, lease, tail, holder, id. The order of the questions is that of
/// `Record::judge`.
pub(super) static SPEND: LazyLock<RedisScript> = LazyLock::new(|| {
    with_record(
        r"
local r = read(KEYS[1])
if not r then return { 'absent', 0, 0, '' } end
if r.state == 'D' then return { 'spent', 0, 0, r.rest:sub(names(r.rest)) } end
local takeover = 0
if r.state == 'C' then
  if r.owner == ARGV[1] then return { 'accepted', r.attempt, r.flags, '' } end
  if r.left > 0 then return { 'in flight', r.left, 0, '' } end
  if r.fp ~= ARGV[2] then return { 'mismatch', 0, 0, '' } end
  takeover = 1
elseif r.state == 'I' then
  if KEYS[2] then
    local newest = redis.call('GET', KEYS[2])
    if newest and newest ~= ARGV[6] then return { 'superseded', 0, 0, '' } end
  end
  if r.life == 0 then return { 'expired', 0, 0, '' } end
  if r.fp ~= ARGV[2] then return { 'mismatch', 0, 0, '' } end
else
  return { 'unreadable', 0, 0, '' }
end
r.state, r.flags, r.attempt, r.owner, r.ran = 'C', takeover, r.attempt + 1, ARGV[1], 0
r.lease, r.tail = tonumber(ARGV[3]), math.max(tonumber(ARGV[4]), r.life)
r.rest = string.char(#ARGV[5]) .. ARGV[5] .. r.rest:sub(2 + r.rest:byte(1))
write(KEYS[1], r, r.lease + r.tail)
return { 'accepted', r.attempt, takeover, '' }",
    )
});

/// KEYS record; ARGV owner, lease. For tokens and contents.
pub(super) static RENEW: LazyLock<RedisScript> = LazyLock::new(|| {
    with_record(
        r"
local r = read(KEYS[1])
if not r or r.state ~= 'C' or r.owner ~= ARGV[1] then return 0 end
r.lease = tonumber(ARGV[2])
write(KEYS[1], r, r.lease + r.tail)
return 1",
    )
});

/// KEYS record; ARGV owner, result, retention. For tokens and contents.
pub(super) static COMPLETE: LazyLock<RedisScript> = LazyLock::new(|| {
    with_record(
        r"
local r = read(KEYS[1])
if not r or r.owner ~= ARGV[1] then return 0 end
local at = names(r.rest)
if r.state == 'D' then return r.rest:sub(at) == ARGV[2] and 1 or 0 end
if r.state ~= 'C' then return 0 end
r.state, r.rest = 'D', r.rest:sub(1, at - 1) .. ARGV[2]
write(KEYS[1], r, tonumber(ARGV[3]))
return 1",
    )
});

/// KEYS record; ARGV owner, tombstone.
pub(super) static RELEASE: LazyLock<RedisScript> = LazyLock::new(|| {
    with_record(
        r"
local r = read(KEYS[1])
if not r or r.owner ~= ARGV[1] then return 0 end
if r.state == 'I' then return 1 end
if r.state ~= 'C' then return 0 end
r.state, r.tail, r.lease, r.ran = 'I', tonumber(ARGV[2]), 0, 0
write(KEYS[1], r, r.life + r.tail)
return 1",
    )
});

/// KEYS records; answers key, record and time to live of those that are claimed.
pub(super) static RUNNING: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::once(
        r"
local found = {}
for _, key in ipairs(KEYS) do
  if redis.call('GETRANGE', key, 0, 1) == '\1C' then
    found[#found + 1] = { key, redis.call('GET', key), math.max(0, redis.call('PTTL', key)) }
  end
end
return found",
    )
});

/// KEYS first slot [, own slot]; ARGV owner, second digest or zeros, lease, tail, names, retention of a mark or nothing.
/// A first slot without a second digest holds zeros and collides with nothing.
pub(super) static CLAIM: LazyLock<RedisScript> = LazyLock::new(|| {
    with_record(
        r"
local none = string.rep('\0', 32)
local key, r, collided = KEYS[1], read(KEYS[1]), 0
if KEYS[2] then
  local own = read(KEYS[2])
  if own or (r and r.state ~= '?' and r.fp ~= none and r.fp ~= ARGV[2]) then
    key, r, collided = KEYS[2], own, 1
  end
end
local mark, takeover = ARGV[6] ~= '', 0
if r then
  if r.state == 'D' then
    if not mark or r.owner ~= ARGV[1] then return { 'done', 0, 0, '' } end
    return { 'first', r.attempt, r.flags + 2 * collided, '' }
  end
  if r.state ~= 'C' then return { 'unreadable', 0, 0, '' } end
  if r.owner == ARGV[1] then return { 'first', r.attempt, r.flags + 2 * collided, '' } end
  if r.left > 0 then return { 'in flight', r.left, 0, '' } end
  takeover = 1
end
local new = { state = mark and 'D' or 'C', flags = takeover, attempt = (r and r.attempt or 0) + 1,
  tail = tonumber(ARGV[4]), lease = tonumber(ARGV[3]), life = 0, ran = 0,
  owner = ARGV[1], fp = ARGV[2], rest = ARGV[5] }
write(key, new, mark and tonumber(ARGV[6]) or new.lease + new.tail)
return { 'first', new.attempt, takeover + 2 * collided, '' }",
    )
});

/// KEYS record; ARGV owner.
pub(super) static FORGET: LazyLock<RedisScript> = LazyLock::new(|| {
    with_record(
        r"
local r = read(KEYS[1])
if not r then return 1 end
if r.state ~= 'C' or r.owner ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1",
    )
});

/// KEYS bare key; ARGV value. It does not know its caller, so its second run would deny the first one's success.
pub(super) static CONSUME: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::once(
        r"
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return 1
end
return held and 0 or -1",
    )
});
