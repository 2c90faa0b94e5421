//! Fail points: named places where a test program may stop or kill the process.

/// Calls the test program's hook, if the feature `failpoints` is on and a hook was set; else does nothing.
#[inline]
pub fn mark(name: &'static str) {
    #[cfg(feature = "failpoints")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

#[cfg(feature = "failpoints")]
static HOOK: std::sync::OnceLock<fn(&'static str)> = std::sync::OnceLock::new();

/// Sets the hook of this process, once; a second call is ignored. The hook may block: that is its purpose.
#[cfg(feature = "failpoints")]
pub fn set_mark_hook(hook: fn(&'static str)) {
    let _ = HOOK.set(hook);
}
