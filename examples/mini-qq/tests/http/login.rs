//! From the page to the profile, and how codes and tokens live and die.

use std::sync::Arc;

use mini_qq::{Config, User};
use reqwest::StatusCode;
use serde_json::json;

use crate::site::*;

#[tokio::test]
async fn the_whole_journey() {
    let site = Site::start().await;
    let to = site.browser().answer(&asks("shop"), &[("user", "alice"), ("decision", "approve")]).await;
    let back = parameters(&to);
    assert_eq!(back["state"], "state-1");
    assert_eq!(back.len(), 2, "{back:?}");

    let access = text(&site.exchange(&back["code"]).await["access_token"]);
    let me = site.me(&access).await;
    assert_eq!(me["client_id"], "shop");
    let openid = text(&me["openid"]);
    assert_eq!(Some(&openid), site.server.openid("shop", "alice").as_ref());

    let info = [("access_token", access.as_str()), ("oauth_consumer_key", "shop"), ("openid", &openid)];
    let info = json(site.get("/user/get_user_info", &info).await).await;
    assert_eq!((&info["ret"], &info["msg"]), (&json!(0), &json!("")));
    assert_eq!((&info["nickname"], &info["gender"]), (&json!("Alice"), &json!("女")));
    assert_eq!(info["figureurl_qq_1"], format!("{}/avatar/{openid}.svg", site.origin));
    let picture = reqwest::get(text(&info["figureurl_qq_2"])).await.unwrap();
    assert_eq!((picture.status(), header(&picture, "content-type")), (StatusCode::OK, "image/svg+xml"));
    assert!(picture.text().await.unwrap().contains(">A<"));

    let stats = site.server.stats();
    assert_eq!((stats.pages, stats.approvals, stats.denials), (1, 1, 0));
    assert_eq!((stats.token_requests, stats.tokens_issued, stats.most_requests_per_code), (1, 1, 1));
    assert_eq!((stats.me_requests, stats.user_info_requests), (1, 1));
}

#[tokio::test]
async fn a_person_is_the_same_each_time_and_another_at_each_client() {
    let site = Site::start().await;
    let mut seen = Vec::new();
    for user in ["alice", "alice", "bob", "carol", "dave"] {
        seen.push(text(&site.me(&site.access(user).await).await["openid"]));
    }
    assert_eq!(seen[0], seen[1]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
    assert_ne!(site.server.openid("shop", "alice"), site.server.openid("strict", "alice"));
    assert_eq!(site.server.openid("shop", "mallory"), None);
    assert_eq!(site.server.openid("nobody", "alice"), None);
}

#[tokio::test]
async fn a_replayed_code_voids_what_it_gave() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    let tokens = site.exchange(&code).await;
    let access = text(&tokens["access_token"]);
    assert_eq!(site.me(&access).await["client_id"], "shop");
    assert_eq!(site.exchange(&code).await["error"], 100_020);
    assert_eq!(site.me(&access).await["error"], 100_015);
    let refresh = text(&tokens["refresh_token"]);
    assert_eq!(refreshed(&site, &refresh).await["error"], 100_022);
    assert_eq!(site.server.stats().most_requests_per_code, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_requests_with_one_code_one_succeeds() {
    let site = Arc::new(Site::start().await);
    let code = site.code("alice").await;
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (site, code) = (Arc::clone(&site), code.clone());
            tokio::spawn(async move { site.exchange(&code).await })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        match answer["access_token"].as_str() {
            Some(access) => given.push(access.to_owned()),
            None => assert_eq!(answer["error"], 100_020),
        }
    }
    assert_eq!(given.len(), 1);
    assert_eq!(site.me(&given[0]).await["error"], 100_015, "and the replays have voided it");
}

#[tokio::test]
async fn a_code_ends_in_time() {
    let site = Site::start().await;
    let (first, second) = (site.code("alice").await, site.code("alice").await);
    site.pass(30);
    assert!(site.exchange(&first).await["access_token"].is_string());
    site.pass(31);
    assert_eq!(site.exchange(&second).await["error"], 100_019);
}

#[tokio::test]
async fn an_access_token_ends_in_time_and_a_refresh_token_gives_another() {
    let site = Site::with(Config::default().with_token_ttl(std::time::Duration::from_secs(100))).await;
    let tokens = site.exchange(&site.code("alice").await).await;
    assert_eq!(tokens["expires_in"], 100);
    let access = text(&tokens["access_token"]);
    assert_eq!(site.me(&access).await["client_id"], "shop");
    site.pass(101);
    assert_eq!(site.me(&access).await["error"], 100_014);
    let query = [("access_token", access.as_str()), ("oauth_consumer_key", "shop"), ("openid", "x")];
    assert_eq!(json(site.get("/user/get_user_info", &query).await).await["ret"], 100_014);

    let again = refreshed(&site, &text(&tokens["refresh_token"])).await;
    assert_eq!(site.me(&text(&again["access_token"])).await["client_id"], "shop");
    assert_ne!(again["refresh_token"], tokens["refresh_token"]);
    assert_eq!(site.server.stats().refreshes, 1);
}

#[tokio::test]
async fn a_refresh_token_used_twice_voids_its_family() {
    let site = Site::start().await;
    let tokens = site.exchange(&site.code("alice").await).await;
    let other = site.access("alice").await;
    let newer = refreshed(&site, &text(&tokens["refresh_token"])).await;
    assert_eq!(refreshed(&site, &text(&tokens["refresh_token"])).await["error"], 100_022);
    assert_eq!(site.me(&text(&newer["access_token"])).await["error"], 100_015);
    assert_eq!(refreshed(&site, &text(&newer["refresh_token"])).await["error"], 100_022);
    assert_eq!(site.me(&other).await["client_id"], "shop", "another login is not concerned");
}

#[tokio::test]
async fn tokens_can_be_ended_by_the_test() {
    let site = Site::start().await;
    let tokens = site.exchange(&site.code("alice").await).await;
    let access = text(&tokens["access_token"]);
    site.server.expire_all_tokens();
    assert_eq!(site.me(&access).await["error"], 100_014);
    let newer = refreshed(&site, &text(&tokens["refresh_token"])).await;
    site.server.revoke_all_tokens();
    assert_eq!(site.me(&text(&newer["access_token"])).await["error"], 100_015);
    assert_eq!(refreshed(&site, &text(&newer["refresh_token"])).await["error"], 100_022);
}

#[tokio::test]
async fn pkce_is_required_of_one_client_and_honoured_for_all() {
    let site = Site::start().await;
    for client in ["strict", "shop"] {
        let mut query = asks(client);
        query.extend([("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
        let code = site.browser().code(&query, "bob").await;
        let right = with(exchange(client, &code), "code_verifier", VERIFIER);
        let answer = json(site.token(&with(right, "fmt", "json")).await).await;
        assert!(answer["access_token"].is_string(), "{client}: {answer}");

        for verifier in [None, Some("wrong")] {
            let code = site.browser().code(&query, "bob").await;
            let mut wrong = with(exchange(client, &code), "fmt", "json");
            wrong.extend(verifier.map(|verifier| ("code_verifier", verifier)));
            assert_eq!(json(site.token(&wrong).await).await["error"], 100_019, "{client} {verifier:?}");
        }
    }
}

#[tokio::test]
async fn the_unionid_is_one_for_all_clients_that_may_have_it() {
    let site = Site::start().await;
    let code = site.browser().code(&asks("family"), "alice").await;
    let tokens = json(site.token(&with(exchange("family", &code), "fmt", "json")).await).await;
    let access = text(&tokens["access_token"]);
    let query = [("access_token", access.as_str()), ("unionid", "1"), ("fmt", "json")];
    let me = json(site.get("/oauth2.0/me", &query).await).await;
    assert!(text(&me["unionid"]).starts_with("UID_"), "{me}");
    let with_it = text(&me["openid"]);
    assert_eq!(text(&site.me(&access).await["openid"]), with_it, "asking for it changes nothing else");
    let access = site.access("alice").await;
    let query = [("access_token", access.as_str()), ("unionid", "1"), ("fmt", "json")];
    assert_eq!(json(site.get("/oauth2.0/me", &query).await).await["error"], 100_048);
}

#[tokio::test]
async fn the_profile_needs_its_scope_its_client_and_its_openid() {
    let site = Site::start().await;
    let (access, openid) = (site.access("alice").await, site.server.openid("shop", "alice").unwrap());
    let bob = site.server.openid("shop", "bob").unwrap();
    for (key, openid, ret) in
        [("shop", openid.as_str(), 0), ("strict", &openid, -1), ("shop", &bob, -1), ("shop", "", -1)]
    {
        let query = [("access_token", access.as_str()), ("oauth_consumer_key", key), ("openid", openid)];
        assert_eq!(json(site.get("/user/get_user_info", &query).await).await["ret"], ret, "{key} {openid}");
    }
    let code = site.browser().code(&with(asks("shop"), "scope", "do_like"), "alice").await;
    let access = text(&site.exchange(&code).await["access_token"]);
    let query = [("access_token", access.as_str()), ("oauth_consumer_key", "shop"), ("openid", &openid)];
    assert_eq!(json(site.get("/user/get_user_info", &query).await).await["ret"], 100_030);
}

#[tokio::test]
async fn people_and_places_come_from_the_settings() {
    let config = Config::default().with_users(vec![User::new("erin", "Erin <b>")]).with_origin("https://qq.example");
    let site = Site::with(config).await;
    let page = site.browser().page(&asks("shop")).await;
    assert!(page.html.contains("Erin &#60;b&#62;"), "{}", page.html);
    let access = site.access("erin").await;
    let openid = site.server.openid("shop", "erin").unwrap();
    let query = [("access_token", access.as_str()), ("oauth_consumer_key", "shop"), ("openid", &openid)];
    let info = json(site.get("/user/get_user_info", &query).await).await;
    assert_eq!(info["nickname"], "Erin <b>");
    assert_eq!(info["figureurl_qq_2"], format!("https://qq.example/avatar/{openid}.svg"));
    let cookie = site.browser().ask(&asks("shop")).await;
    assert!(header(&cookie, "set-cookie").ends_with("; Secure"), "its origin is https");
    assert_eq!(site.get("/avatar/0123.svg", &[]).await.status(), StatusCode::NOT_FOUND);
}

async fn refreshed(site: &Site, refresh: &str) -> serde_json::Value {
    let query = [
        ("grant_type", "refresh_token"),
        ("client_id", "shop"),
        ("client_secret", SECRET),
        ("refresh_token", refresh),
        ("fmt", "json"),
    ];
    json(site.token(&query).await).await
}
