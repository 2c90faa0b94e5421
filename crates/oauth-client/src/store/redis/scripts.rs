//! The scripts. Each may run again with the same arguments: it finds the number of its call and changes nothing. None of
//! them reads a clock or builds a key.

use std::sync::LazyLock;

use onceward_backend::RedisScript;

/// KEYS record; answers it and the rest of its life, or nothing.
pub(super) static READ: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::repeatable(
        r"
local record = redis.call('GET', KEYS[1])
return record and { record, redis.call('PTTL', KEYS[1]) }",
    )
});

/// KEYS record; ARGV format and version that must be there (empty: nothing), the new record, its life.
pub(super) static WRITE: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::repeatable(
        r"
local head = redis.call('GETRANGE', KEYS[1], 0, 16)
if head == ARGV[2]:sub(1, 17) then return 1 end
if head:sub(1, 9) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1",
    )
});

/// KEYS record; ARGV version that must be there (zeros: none), new version, body, life. The number of the last deletion is
/// handed on, so that its repeat does not delete what came after it.
pub(super) static STORE_TOKENS: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::repeatable(
        r"
local head = redis.call('GETRANGE', KEYS[1], 0, 16)
if head == '' then head = '\1' .. string.rep('\0', 16) end
if head:byte(1) ~= 1 then return 0 end
local version = head:sub(2, 9)
if version == ARGV[2] then return 1 end
if version ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '\1' .. ARGV[2] .. head:sub(10, 17) .. ARGV[3], 'PX', ARGV[4])
return 1",
    )
});

/// KEYS record; ARGV number of this call, how long that is remembered.
pub(super) static DELETE_TOKENS: LazyLock<RedisScript> = LazyLock::new(|| {
    RedisScript::repeatable(
        r"
local head, none = redis.call('GETRANGE', KEYS[1], 0, 16), string.rep('\0', 8)
if head == '' then return 0 end
if head:sub(10, 17) == ARGV[1] then return 1 end
if head:sub(2, 9) == none then return 0 end
redis.call('SET', KEYS[1], '\1' .. none .. ARGV[1], 'PX', ARGV[2])
return 1",
    )
});
