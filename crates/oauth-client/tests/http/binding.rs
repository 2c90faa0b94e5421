//! Whose login it is: states, browsers, providers, codes.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use onceward_oauth_client::{BrowserBinder, Error, Failure, Stores, store::MemoryStore};

use crate::{
    app::{App, options, qq},
    fixture::{Fixture, query},
};

#[tokio::test]
async fn another_browser_is_refused_and_spends_nothing() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    let stranger = BrowserBinder::generate().unwrap();
    for browser in [Some(&stranger), None] {
        let refused = app.callback_as(browser, &callback).await.unwrap_err();
        assert!(matches!(refused, Error::BrowserMismatch), "{refused}");
    }
    assert_eq!(fixture.tokens(), 0);
    assert!(app.callback(&callback).await.is_ok());
    let replayed = app.callback_as(Some(&stranger), &callback).await.unwrap_err();
    assert!(matches!(replayed, Error::BrowserMismatch), "the answer is not for strangers");
}

#[tokio::test]
async fn a_state_that_is_not_ours_finds_nothing() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    let code = callback.split('&').next().unwrap();
    let state = query(&url)["state"].clone();
    for wrong in [
        code.to_owned(),
        format!("{code}&state="),
        format!("{code}&state={}", "0".repeat(64)),
        format!("{code}&state={}", state.to_uppercase()),
        format!("{code}&state={}", &state[..63]),
        format!("{code}&state={state}%00"),
        format!("{code}&state=%F0%9F%A6%80"),
    ] {
        let refused = app.callback(&wrong).await.unwrap_err();
        assert!(matches!(refused, Error::FlowNotFound), "{wrong}: {refused}");
    }
    let twice = format!("{callback}&state={state}");
    assert!(matches!(app.callback(&twice).await, Err(Error::InvalidCallback(_))));
    assert!(matches!(app.callback(&format!("state={state}")).await, Err(Error::InvalidCallback(_))));
    let huge = format!("state={state}&code={}", "x".repeat(100_000));
    assert!(matches!(app.callback(&huge).await, Err(Error::InvalidCallback(_))));
    for code in ["%00", "%0D%0A", "%F0%9F%A6%80", &"x".repeat(3_000)] {
        let refused = app.callback(&format!("state={state}&code={code}")).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidCallback(_)), "{code}: {refused}");
    }
    assert_eq!((fixture.tokens(), app.sessions()), (0, 0));
    assert!(app.callback(&callback).await.is_ok(), "the login is still usable");
}

#[tokio::test]
async fn a_login_begun_at_one_provider_does_not_end_at_another() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    let refused = app.callback_at("plain", Some(&app.browser), &callback).await.unwrap_err();
    assert!(matches!(refused, Error::ProviderMismatch), "{refused}");
    let unknown = app.callback_at("nobody", Some(&app.browser), &callback).await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownProvider));
    assert!(matches!(app.oauth.begin("nobody", &app.browser, b"").await, Err(Error::UnknownProvider)));
    assert_eq!(fixture.tokens(), 0);
    assert!(app.callback(&callback).await.is_ok());
}

#[tokio::test]
async fn an_answer_must_name_the_issuer_where_one_is_expected() {
    let fixture = Fixture::start().await;
    let provider = qq(&fixture).with_issuer("https://issuer.example");
    let app = App::on(Stores::new(MemoryStore::new()), options(), [provider]);
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    for wrong in [callback.clone(), format!("{callback}&iss=https://evil.example")] {
        assert!(matches!(app.callback(&wrong).await, Err(Error::ProviderMismatch)), "{wrong}");
    }
    assert!(app.callback(&format!("{callback}&iss=https://issuer.example")).await.is_ok());
}

#[tokio::test]
async fn another_code_for_an_ended_login_is_refused() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    let first = fixture.approve(&url, "alice");
    app.callback(&first).await.unwrap();
    let second = app.callback(&fixture.approve(&url, "mallory")).await.unwrap_err();
    assert!(matches!(second, Error::StateUsed), "{second}");
    assert_eq!((fixture.tokens(), app.sessions()), (1, 1));
    assert!(app.callback(&first).await.unwrap().replayed, "the owner's answer stays");
}

#[tokio::test]
async fn another_code_waits_for_a_running_login_and_is_then_refused() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    let (first, second) = (fixture.approve(&url, "alice"), fixture.approve(&url, "mallory"));
    fixture.close().await;
    let (first, second, ()) = tokio::join!(
        app.callback(&first),
        async {
            fixture.arrived(1).await;
            app.callback(&second).await
        },
        async {
            fixture.arrived(1).await;
            // Longer than the lease: a running login is renewed, not taken over.
            tokio::time::sleep(options().lease * 2).await;
            fixture.open();
        }
    );
    assert!(first.is_ok());
    assert!(matches!(second, Err(Error::StateUsed)));
    assert_eq!((fixture.tokens(), app.sessions()), (1, 1));
}

#[tokio::test]
async fn a_code_that_was_sent_is_not_sent_for_another_login() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let used = fixture.approve(&app.begin("qq").await, "alice");
    app.callback(&used).await.unwrap();
    let url = app.begin("qq").await;
    let replayed = format!("{}&state={}", used.split('&').next().unwrap(), query(&url)["state"]);
    for _ in 0..2 {
        let refused = app.callback(&replayed).await.unwrap_err();
        assert!(matches!(refused, Error::Provider(Failure::CodeAlreadyUsed)), "{refused}");
    }
    assert_eq!(fixture.tokens(), 1);
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
}

#[tokio::test]
async fn a_denied_login_is_ended_by_opening_the_same_url_again() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    let state = query(&url)["state"].clone();
    for denial in [format!("usercancel=1&state={state}"), format!("error=access_denied&state={state}")] {
        assert!(matches!(app.callback(&denial).await, Err(Error::Denied)), "{denial}");
    }
    let stranger = BrowserBinder::generate().unwrap();
    let foreign = app.callback_as(Some(&stranger), &format!("usercancel=1&state={state}")).await;
    assert!(matches!(foreign, Err(Error::BrowserMismatch)));
    let refused = app.callback(&format!("code=100010&msg=redirect&state={state}")).await;
    assert!(matches!(refused, Err(Error::Provider(Failure::Refused { .. }))));
    assert_eq!(fixture.tokens(), 0);
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
}

#[tokio::test]
async fn a_login_is_pending_for_so_long_and_no_longer() {
    let fixture = Fixture::start().await;
    let life = Duration::from_millis(100);
    let app = App::with(&fixture, options().with_pending_ttl(life));
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    tokio::time::sleep(life * 2).await;
    assert!(matches!(app.callback(&callback).await, Err(Error::FlowNotFound)));
    assert_eq!(fixture.tokens(), 0);
}

#[tokio::test]
async fn a_login_that_began_in_time_may_end_after_its_time() {
    let fixture = Fixture::start().await;
    let life = Duration::from_millis(800);
    let app = App::with(&fixture, options().with_pending_ttl(life));
    fixture.close().await;
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    let (done, ()) = tokio::join!(app.callback(&callback), async {
        fixture.arrived(1).await;
        tokio::time::sleep(life * 2).await;
        fixture.open();
    });
    assert!(done.is_ok());
    assert!(app.callback(&callback).await.unwrap().replayed);
}

#[tokio::test]
async fn application_data_is_bounded() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let largest = vec![b'x'; onceward_oauth_client::MAX_DATA];
    assert!(app.oauth.begin("qq", &app.browser, &largest).await.is_ok());
    let larger = [largest, vec![b'x']].concat();
    let refused = app.oauth.begin("qq", &app.browser, &larger).await;
    assert!(matches!(refused, Err(Error::DataTooLarge(_))));

    let url = app.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    let finish = |_| async { Ok::<_, Error>(vec![0; onceward_oauth_client::MAX_ANSWER + 1]) };
    let refused = app.oauth.callback("qq", &callback, Some(&app.browser), finish).await;
    assert!(matches!(refused, Err(Error::DataTooLarge(_))));
    assert_eq!(fixture.api_calls.load(SeqCst), 2);
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
}
