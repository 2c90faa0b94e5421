//! What a command has to say, in both forms.

use serde_json::Value;

pub(crate) struct Answer {
    /// For people.
    pub(crate) text: String,
    /// For programs: one document.
    pub(crate) json: Value,
    /// What belongs to neither, for standard error.
    pub(crate) notes: Vec<String>,
}

impl Answer {
    pub(crate) fn new(text: String, json: Value) -> Self {
        Self { text, json, notes: Vec::new() }
    }
}
