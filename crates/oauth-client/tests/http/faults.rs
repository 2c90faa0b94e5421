//! Providers and networks that misbehave, and an application that does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use onceward_oauth_client::{Error, Failure, Options, Protocol, Stores, store::MemoryStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    app::{App, options, qq},
    fixture::{Canned, Fixture},
};

fn provider(result: Result<onceward_oauth_client::Finished, Error>) -> Failure {
    match result {
        Err(Error::Provider(failure)) => failure,
        other => panic!("not the provider's failure: {other:?}"),
    }
}

#[tokio::test]
async fn an_answer_that_is_no_token_ends_the_attempt_not_the_login() {
    let garbled = Failure::Protocol(Protocol::Garbled);
    let answers: [(Canned, Failure); 14] = [
        ((200, ""), garbled.clone()),
        ((200, "<html>busy</html>"), garbled.clone()),
        ((200, "access_token="), garbled.clone()),
        ((200, "access_token=a&access_token=b"), garbled.clone()),
        ((200, "{\"access_token\":\"a\""), garbled.clone()),
        ((200, "callback( {\"access_token\":\"a\"} ); alert(1)"), garbled.clone()),
        ((200, "access_token=a&expires_in=soon"), garbled),
        ((200, "callback( {\"error\":100020,} );"), Failure::CodeRejected),
        ((400, "{\"error\":100019}"), Failure::CodeRejected),
        ((200, "{\"error\":100009}"), Failure::misconfigured("100009")),
        ((200, "{\"error\":100001}"), Failure::refused("100001")),
        ((404, "nothing here"), Failure::Protocol(Protocol::Status)),
        ((500, "access_token=a&expires_in=60"), Failure::OutcomeUnknown),
        ((502, ""), Failure::OutcomeUnknown),
    ];
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    for (answer, expected) in answers {
        let url = app.begin("qq").await;
        let callback = fixture.approve(&url, "alice");
        let before = fixture.tokens();
        *fixture.token.lock().unwrap() = Some(answer);
        assert_eq!(provider(app.callback(&callback).await), expected, "{answer:?}");
        assert_eq!(provider(app.callback(&callback).await), expected, "repeated {answer:?}");
        assert_eq!(fixture.tokens(), before + 1, "the code was sent once: {answer:?}");
        *fixture.token.lock().unwrap() = None;
        assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_secret_elsewhere() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    for status in [301, 302, 303, 307, 308] {
        *fixture.token.lock().unwrap() = Some((status, "/elsewhere"));
        let callback = fixture.approve(&app.begin("qq").await, "alice");
        assert_eq!(provider(app.callback(&callback).await), Failure::Protocol(Protocol::Redirect));
    }
    assert_eq!(fixture.elsewhere_calls.load(SeqCst), 0);
}

#[tokio::test]
async fn an_oversize_answer_is_not_read_to_its_end() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    *fixture.oversize.lock().unwrap() = true;
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    assert_eq!(provider(app.callback(&callback).await), Failure::Protocol(Protocol::TooLarge));
    assert_eq!(fixture.tokens(), 1);
}

#[tokio::test]
async fn a_code_whose_outcome_is_unknown_is_never_sent_again() {
    let fixture = Fixture::start().await;
    let app = App::with(&fixture, options().with_token_timeout(Duration::from_secs(1)));
    let url = app.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    fixture.close().await;
    assert_eq!(provider(app.callback(&callback).await), Failure::OutcomeUnknown);
    fixture.open();
    for _ in 0..3 {
        assert_eq!(provider(app.callback(&callback).await), Failure::OutcomeUnknown);
    }
    assert_eq!(fixture.tokens(), 1);
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
    assert_eq!((fixture.tokens(), app.sessions()), (2, 1));
}

/// Listens on loopback, counts requests, answers each with these bytes and hangs up.
async fn rude(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                request.push(byte);
            }
            if request.ends_with(b"\r\n\r\n") {
                count.fetch_add(1, SeqCst);
                let _ = stream.write_all(answer).await;
            }
        }
    });
    (origin, requests)
}

#[tokio::test]
async fn a_wire_that_breaks_after_the_request_gives_one_request() {
    let answers: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\naccess_token=a&expires_in=60",
        b"\x16\x03\x01 this is not http\r\n\r\n",
    ];
    let fixture = Fixture::start().await;
    for answer in answers {
        let (origin, requests) = rude(answer).await;
        let moved = qq(&fixture).with_origin(origin);
        let app = App::on(Stores::new(MemoryStore::new()), options(), [moved]);
        let callback = fixture.approve(&app.begin("qq").await, "alice");
        for _ in 0..2 {
            assert_eq!(provider(app.callback(&callback).await), Failure::OutcomeUnknown);
        }
        assert_eq!(requests.load(SeqCst), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_unavailable() {
    let fixture = Fixture::start().await;
    // Bound and dropped, so that nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let down = qq(&fixture).with_origin(format!("http://{free}"));
    let app = App::on(Stores::new(MemoryStore::new()), options(), [down]);
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    let error = app.callback(&callback).await.unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(matches!(error, Error::Provider(Failure::Unavailable)), "{error}");
}

#[tokio::test]
async fn a_token_of_another_application_logs_nobody_in() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    *fixture.me.lock().unwrap() = Some((200, "callback( {\"client_id\":\"other\",\"openid\":\"X\"} );"));
    let callback = fixture.approve(&url, "alice");
    assert_eq!(provider(app.callback(&callback).await), Failure::SubjectMismatch);
    assert_eq!(app.sessions(), 0);
    *fixture.me.lock().unwrap() = None;
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
}

#[tokio::test]
async fn a_profile_that_is_refused_logs_nobody_in() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let answers: [(Canned, Failure); 6] = [
        ((200, "{\"ret\":-22,\"msg\":\"no\"}"), Failure::refused("-22")),
        ((200, "{\"ret\":100014,\"msg\":\"expired\"}"), Failure::TokenRejected),
        ((200, "{\"nickname\":\"x\"}"), Failure::Protocol(Protocol::Garbled)),
        ((200, "<html>"), Failure::Protocol(Protocol::Garbled)),
        ((503, "{\"ret\":0}"), Failure::Unavailable),
        ((302, "/elsewhere"), Failure::Protocol(Protocol::Redirect)),
    ];
    for (answer, expected) in answers {
        *fixture.info.lock().unwrap() = Some(answer);
        let callback = fixture.approve(&app.begin("qq").await, "alice");
        assert_eq!(provider(app.callback(&callback).await), expected, "{answer:?}");
    }
    assert_eq!((app.sessions(), fixture.elsewhere_calls.load(SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_step_of_the_application_that_fails_leaves_the_login_to_its_owner() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    let fail = |_| async { Err::<Vec<u8>, _>("no room for a session") };
    let failed = app.oauth.callback("qq", &callback, Some(&app.browser), fail).await.unwrap_err();
    let Error::Finish(source) = failed else { panic!("{failed}") };
    assert_eq!(source.to_string(), "no room for a session");
    // The code is spent: the step does not run again for it.
    assert!(matches!(app.callback(&callback).await, Err(Error::Finish(_))));
    assert_eq!((fixture.tokens(), app.sessions()), (1, 0));
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
}

#[tokio::test]
async fn a_step_of_the_application_that_panics_frees_the_login_with_its_lease() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    let panics = |_| async { if true { panic!("expected by this test") } else { Ok::<_, Error>(vec![]) } };
    let failed = app.oauth.callback("qq", &callback, Some(&app.browser), panics).await;
    assert_eq!(provider(failed), Failure::Interrupted);
    assert_eq!(provider(app.callback(&callback).await), Failure::Interrupted);
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
    assert_eq!((fixture.tokens(), app.sessions()), (2, 1));
}

#[tokio::test]
async fn a_repetition_that_has_waited_long_enough_is_told_to_come_again() {
    let fixture = Fixture::start().await;
    let (lease, wait) = (Duration::from_secs(1), Duration::from_millis(1_200));
    let app = App::with(&fixture, options().with_lease(lease).with_wait(wait));
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    fixture.close().await;
    let (first, repeated) = tokio::join!(app.callback(&callback), async {
        fixture.arrived(1).await;
        let repeated = app.callback(&callback).await;
        fixture.open();
        repeated
    });
    assert!(first.is_ok());
    let busy = repeated.unwrap_err();
    assert!(matches!(busy, Error::Busy) && busy.is_retryable() && busy.status() == 503);
    assert!(app.callback(&callback).await.unwrap().replayed);
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let fixture = Fixture::start().await;
    let build = |options: Options| {
        let stores = Stores::new(MemoryStore::new());
        onceward_oauth_client::OAuthClient::builder(crate::app::keys(), stores, Default::default())
            .provider(qq(&fixture))
            .options(options)
            .build()
    };
    assert!(build(Options::default()).is_ok());
    for bad in [
        Options::default().with_wait(Duration::from_secs(1)),
        Options::default().with_lease(Duration::ZERO),
        Options::default().with_body_limit(0),
        Options::default().with_code_ttl(Duration::from_secs(1)),
    ] {
        assert!(matches!(build(bad), Err(Error::Config(_))));
    }
    let stores = Stores::new(MemoryStore::new());
    let twice = onceward_oauth_client::OAuthClient::builder(crate::app::keys(), stores, Default::default())
        .provider(qq(&fixture))
        .provider(qq(&fixture))
        .build();
    assert!(matches!(twice, Err(Error::Config(_))));
}

#[tokio::test]
async fn a_machine_without_certificates_still_logs_in_over_loopback() {
    let nothing = tempfile::tempdir().unwrap();
    // Where certificates are looked for is read from the environment, so it takes a process.
    let mut process = testkit::Child::of(std::env::current_exe().unwrap())
        .args(["--exact", "login::a_user_of_qq_logs_in"])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", nothing.path())
        .start();
    let exit = process.wait(Duration::from_secs(30)).await;
    assert_eq!(exit, testkit::Exit::Code(0), "{:?}", process.stderr());
    assert!(process.stdout().iter().any(|line| line.contains("1 passed")));
}
