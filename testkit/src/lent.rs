//! What a test has on a server for itself.

use std::fmt;

/// Something on a server that belongs to one test, such as a database; removed, with all that is in it and with its
/// connections, when this guard is dropped.
pub struct Lent {
    name: String,
    url: String,
    remove: Box<dyn Fn() + Send + Sync>,
}

impl Lent {
    pub(crate) fn new(name: String, url: String, remove: impl Fn() + Send + Sync + 'static) -> Self {
        Self { name, url, remove: Box::new(remove) }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        (self.remove)();
    }
}
