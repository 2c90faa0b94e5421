//! The switches do what they say, so that a test that uses them tests something.

use std::time::{Duration, Instant};

use mini_qq::{Endpoint, Fault};
use tokio::time::timeout;

use crate::site::*;

const NOT_SOON: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_processed_request_without_an_answer_has_spent_the_code() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    site.server.faults().next(Endpoint::Token, Fault::Stall, 1);
    assert!(timeout(NOT_SOON, site.exchange(&code)).await.is_err());
    assert_eq!(site.exchange(&code).await["error"], 100_020);

    let code = site.code("alice").await;
    site.server.faults().next(Endpoint::Token, Fault::Drop, 1);
    let url = format!("{}/oauth2.0/token", site.origin);
    let broken = reqwest::Client::new().get(url).query(&exchange("shop", &code)).send().await;
    let broken = match broken {
        Ok(response) => response.bytes().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(broken.is_err(), "the connection breaks");
    assert_eq!(site.exchange(&code).await["error"], 100_020);
}

#[tokio::test]
async fn a_request_that_is_not_processed_has_not_spent_the_code() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    let faults = site.server.faults();
    faults.next(Endpoint::Token, Fault::StallBefore, 1);
    assert!(timeout(NOT_SOON, site.exchange(&code)).await.is_err());
    faults.next(Endpoint::Token, Fault::Status(503), 1);
    assert_eq!(site.token(&exchange("shop", &code)).await.status(), 503);
    faults.next(Endpoint::Token, Fault::Redirect("http://127.0.0.1:9/steal".to_owned()), 1);
    let response = site.token(&exchange("shop", &code)).await;
    assert_eq!((response.status().as_u16(), header(&response, "location")), (302, "http://127.0.0.1:9/steal"));
    assert!(site.exchange(&code).await["access_token"].is_string());
}

#[tokio::test]
async fn answers_can_be_spoilt() {
    let site = Site::start().await;
    let access = site.access("alice").await;
    let right = me(&site, &access).await;
    let faults = site.server.faults();

    faults.set(Endpoint::Me, Fault::Truncated);
    assert_eq!(me(&site, &access).await, right[..right.len() / 2]);
    faults.set(Endpoint::Me, Fault::TrailingComma);
    assert_eq!(
        me(&site, &access).await,
        String::from_utf8(right.clone()).unwrap().replace("\"} );", "\",} );").as_bytes()
    );
    faults.set(Endpoint::Me, Fault::Oversize(100_000));
    assert_eq!(me(&site, &access).await.len(), right.len() + 100_000);
    faults.set(Endpoint::Me, Fault::Html);
    assert!(me(&site, &access).await.starts_with(b"<!doctype html>"));
    faults.set(Endpoint::Me, Fault::Garbage);
    assert!(String::from_utf8(me(&site, &access).await).is_err());
    faults.set(Endpoint::Me, Fault::Delay(Duration::from_millis(100)));
    let start = Instant::now();
    assert_eq!(me(&site, &access).await, right);
    assert!(start.elapsed() >= Duration::from_millis(100));
    faults.set(Endpoint::Me, Fault::Drip(Duration::from_millis(1)));
    let start = Instant::now();
    assert_eq!(me(&site, &access).await, right);
    assert!(start.elapsed() >= Duration::from_millis(u64::try_from(right.len()).unwrap()));
    faults.clear();
    assert_eq!(me(&site, &access).await, right);
}

#[tokio::test]
async fn the_profile_has_its_own_switch() {
    let site = Site::start().await;
    site.server.faults().set(Endpoint::UserInfo, Fault::Status(500));
    assert_eq!(site.get("/user/get_user_info", &[]).await.status(), 500);
    assert_eq!(site.server.stats().user_info_requests, 0, "not processed");
    assert_eq!(site.get("/oauth2.0/me", &[]).await.status(), 200);
}

#[tokio::test]
async fn the_server_can_lie_about_state_and_client() {
    let site = Site::start().await;
    let access = site.access("alice").await;
    site.server.faults().swap_state(true);
    site.server.faults().foreign_client(true);
    let to = site.browser().answer(&asks("shop"), &[("user", "alice"), ("decision", "approve")]).await;
    assert_eq!(parameters(&to)["state"], "1-etats");
    assert_ne!(site.me(&access).await["client_id"], "shop");
    site.server.faults().clear();
    assert_eq!(site.me(&access).await["client_id"], "shop");
}

async fn me(site: &Site, access: &str) -> Vec<u8> {
    site.get("/oauth2.0/me", &[("access_token", access)]).await.bytes().await.unwrap().to_vec()
}
