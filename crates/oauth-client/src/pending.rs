//! The record of one login and what a callback that finds it may do. Pure.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{BrowserBinder, Digest, Failure, codec};

/// One login, as it is sealed into the store.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Flow {
    pub(crate) provider: String,
    binder: Digest,
    /// Exactly what went to the authorize endpoint; the token request repeats it.
    pub(crate) redirect_uri: String,
    #[serde(with = "codec::optional_secret")]
    pub(crate) verifier: Option<SecretString>,
    #[serde(with = "codec::bytes")]
    pub(crate) data: Vec<u8>,
    pub(crate) phase: Phase,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Phase {
    /// Waits for the browser. `last` is the code of a callback that went wrong, and how.
    Pending { last: Option<Last> },
    /// A process is ending it; `left` milliseconds of its pending life remained at the last renewal.
    Exchanging { code: Digest, owner: Digest, left: u64 },
    /// Ended; `answer` is the application's.
    Done {
        code: Digest,
        #[serde(with = "codec::bytes")]
        answer: Vec<u8>,
    },
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Last {
    pub(crate) code: Digest,
    /// `None`: the application's step failed.
    pub(crate) failure: Option<Failure>,
}

/// What a callback with a code does next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// Try to become the one that ends it; so much of its pending life remains.
    Claim { left: Duration },
    /// Another one is at it.
    Wait,
    /// Same code, ended: the same answer.
    Replay(Vec<u8>),
    /// Same code, went wrong: the same error.
    Repeat(Option<Failure>),
    /// Same code, whose process died: whether it was sent is not known, so it is given up.
    GiveUp { left: Duration },
    /// Ended with another code.
    Used,
    /// Its pending life is over.
    Expired,
}

impl Flow {
    pub(crate) fn new(
        provider: &str,
        binder: &BrowserBinder,
        redirect_uri: &str,
        verifier: Option<SecretString>,
        data: &[u8],
    ) -> Self {
        Self {
            provider: provider.to_owned(),
            binder: binder.digest(),
            redirect_uri: redirect_uri.to_owned(),
            verifier,
            data: data.to_vec(),
            phase: Phase::Pending { last: None },
        }
    }

    pub(crate) fn belongs_to(&self, browser: Option<&BrowserBinder>) -> bool {
        browser.is_some_and(|browser| browser.digest() == self.binder)
    }

    /// `age` is the time since the record was last written, `left` the rest of its life in the store.
    pub(crate) fn decide(&self, code: &Digest, age: Duration, left: Duration, lease: Duration) -> Decision {
        match &self.phase {
            Phase::Pending { last: Some(last) } if last.code == *code => Decision::Repeat(last.failure.clone()),
            Phase::Pending { .. } => Decision::Claim { left },
            Phase::Exchanging { .. } if age < lease => Decision::Wait,
            Phase::Exchanging { code: running, left, .. } => match Duration::from_millis(*left).saturating_sub(age) {
                Duration::ZERO => Decision::Expired,
                left if running == code => Decision::GiveUp { left },
                left => Decision::Claim { left },
            },
            Phase::Done { code: used, answer } if used == code => Decision::Replay(answer.clone()),
            Phase::Done { .. } => Decision::Used,
        }
    }

    /// The record in another phase; what the phase does not need any more is dropped.
    pub(crate) fn into_phase(mut self, phase: Phase) -> Self {
        if matches!(phase, Phase::Done { .. }) {
            self.verifier = None;
            self.data = Vec::new();
        }
        self.phase = phase;
        self
    }
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pending { .. } => "Pending",
            Self::Exchanging { .. } => "Exchanging",
            Self::Done { .. } => "Done",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(4);
    const LEFT: Duration = Duration::from_secs(500);

    fn code(name: &str) -> Digest {
        Digest::of("code", &[name.as_bytes()])
    }

    fn decide(phase: Phase, code: &Digest, age: u64) -> Decision {
        let binder = BrowserBinder::generate().unwrap();
        Flow::new("qq", &binder, "https://a.example/cb", None, b"data").into_phase(phase).decide(
            code,
            Duration::from_secs(age),
            LEFT,
            LEASE,
        )
    }

    #[test]
    fn every_phase_meets_the_same_code_and_another_one() {
        let (mine, other) = (code("mine"), code("other"));
        let owner = code("owner");
        let running = |left| Phase::Exchanging { code: mine, owner, left };
        let failed = || Phase::Pending { last: Some(Last { code: mine, failure: Some(Failure::CodeRejected) }) };
        let done = || Phase::Done { code: mine, answer: b"answer".to_vec() };
        let rest = Duration::from_secs(95);
        let table = [
            (Phase::Pending { last: None }, mine, 0, Decision::Claim { left: LEFT }),
            (failed(), mine, 0, Decision::Repeat(Some(Failure::CodeRejected))),
            (failed(), other, 0, Decision::Claim { left: LEFT }),
            (running(100_000), mine, 3, Decision::Wait),
            (running(100_000), other, 3, Decision::Wait),
            (running(100_000), mine, 5, Decision::GiveUp { left: rest }),
            (running(100_000), other, 5, Decision::Claim { left: rest }),
            (running(5_000), mine, 5, Decision::Expired),
            (running(5_000), other, 5, Decision::Expired),
            (done(), mine, 5, Decision::Replay(b"answer".to_vec())),
            (done(), other, 5, Decision::Used),
        ];
        for (phase, code, age, expected) in table {
            let name = format!("{phase:?} {age}");
            assert_eq!(decide(phase, &code, age), expected, "{name}");
        }
    }

    #[test]
    fn a_done_record_keeps_neither_verifier_nor_data() {
        let binder = BrowserBinder::generate().unwrap();
        let flow = Flow::new("qq", &binder, "https://a.example/cb", Some("v".into()), b"data");
        let done = flow.into_phase(Phase::Done { code: code("c"), answer: b"a".to_vec() });
        assert!(done.verifier.is_none() && done.data.is_empty());
        assert!(done.belongs_to(Some(&binder)));
        assert!(!done.belongs_to(Some(&BrowserBinder::generate().unwrap())));
        assert!(!done.belongs_to(None));
    }
}
