//! Nothing secret reaches the log, even at its most talkative, nor any Debug or error text.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    dead_code,
    missing_docs,
    missing_debug_implementations,
    reason = "a test program"
)]

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

#[path = "http/app.rs"]
mod app;
#[path = "http/fixture.rs"]
mod fixture;

use app::App;
use fixture::{Fixture, query};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_logged_or_shown() {
    let log = Log::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let mut shown = String::new();
    let mut secrets = vec![fixture::SECRET.to_owned(), app.browser.as_str().to_owned()];
    for answer in [None, Some((200, "access_token=CANARY-TOKEN&access_token=x")), Some((500, "CANARY-BODY"))] {
        *fixture.token.lock().unwrap() = answer;
        let to = app.oauth.begin("qq", &app.browser, b"CANARY-DATA").await.unwrap();
        let callback = fixture.approve(&to.url, "alice");
        let asked = query(&format!("http://x/?{callback}"));
        secrets.extend([asked["state"].clone(), asked["code"].clone()]);
        shown += &format!("{to:?}");
        match app.callback(&callback).await {
            Ok(done) => shown += &format!("{done:?}"),
            Err(error) => shown += &format!("{error:?} {error}"),
        }
    }
    let plain = app.oauth.begin("plain", &app.browser, b"").await.unwrap();
    let callback = fixture.approve(&plain.url, "bob");
    app.callback_at("plain", Some(&app.browser), &callback).await.unwrap();
    let verifier = fixture.token_requests.lock().unwrap().last().unwrap().1["code_verifier"].clone();
    secrets.push(verifier);
    secrets.extend(["TOKEN-alice", "REFRESH-alice", "TOKEN-bob", "CANARY", "session 1"].map(str::to_owned));
    shown += &format!("{:?} {:?} {:?}", app.oauth, app.browser, app::qq(&fixture));

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("onceward.oauth.callback"), "the log was captured");
    for secret in secrets {
        assert!(!shown.contains(&secret), "{secret} is shown");
        let line = logged.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{secret} is logged: {line:?}");
    }
}
