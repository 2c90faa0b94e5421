//! mini-qq.
