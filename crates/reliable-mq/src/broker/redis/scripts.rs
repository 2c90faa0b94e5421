//! What happens at once, and all of it or nothing: one script for each change.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($name:ident, $first_line:literal, $file:literal) => {
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($first_line, "\n", include_str!("common.lua"), include_str!($file))));
    };
}

// The first line makes the server look before it begins: one that is out of memory, read only or cannot write to its disk
// refuses the whole script. What empties a queue may run without memory to spare.
script!(PUBLISH, "#!lua", "publish.lua");
script!(RECEIVE, "#!lua flags=allow-oom", "receive.lua");
script!(ACK, "#!lua flags=allow-oom", "ack.lua");
script!(BACK, "#!lua flags=allow-oom", "back.lua");
script!(REJECT, "#!lua flags=allow-oom", "reject.lua");
script!(UNBURY, "#!lua", "unbury.lua");
script!(DEAD, "#!lua flags=no-writes", "dead.lua");
script!(DEPTH, "#!lua flags=no-writes", "depth.lua");
script!(SUBSCRIBE, "#!lua", "subscribe.lua");
script!(REMOVE, "#!lua flags=allow-oom", "remove.lua");

/// Changes nothing, and is refused whenever [`PUBLISH`] would be.
pub(super) static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new("#!lua\nreturn 1"));
