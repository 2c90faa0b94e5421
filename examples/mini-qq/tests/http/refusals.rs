//! What is refused, how, and what it costs.

use reqwest::StatusCode;

use crate::site::*;

#[tokio::test]
async fn a_bad_authorization_request_gets_a_page_and_goes_nowhere() {
    let site = Site::start().await;
    let long = "s".repeat(1025);
    let cases = [
        (without(asks("shop"), "client_id"), 100_001),
        (with(asks("shop"), "client_id", "nobody"), 100_008),
        (without(asks("shop"), "redirect_uri"), 100_010),
        (with(asks("shop"), "redirect_uri", "http://127.0.0.1:9/auth/qq/callback/"), 100_010),
        (with(asks("shop"), "redirect_uri", "http://127.0.0.1:9/auth/qq/callback?x=1"), 100_010),
        (with(asks("shop"), "redirect_uri", "HTTP://127.0.0.1:9/auth/qq/callback"), 100_010),
        (with(asks("shop"), "redirect_uri", "http://evil.example/"), 100_010),
        (without(asks("shop"), "response_type"), 100_000),
        (with(asks("shop"), "response_type", "token"), 100_000),
        (with(asks("shop"), "state", &long), 100_029),
        (with(asks("shop"), "scope", "<b>"), 100_029),
        (asks("strict"), 100_029),
        (with(asks("strict"), "code_challenge", CHALLENGE), 100_029),
        (with(with(asks("strict"), "code_challenge", VERIFIER), "code_challenge_method", "plain"), 100_029),
        (with(with(asks("strict"), "code_challenge", "short"), "code_challenge_method", "S256"), 100_029),
        ([asks("shop"), vec![("state", "twice")]].concat(), 100_029),
        ([asks("shop"), vec![("client_id", "strict")]].concat(), 100_029),
    ];
    for (query, number) in cases {
        let response = site.browser().ask(&query).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query:?}");
        assert_eq!(header(&response, "location"), "");
        assert_eq!(header(&response, "set-cookie"), "");
        let html = response.text().await.unwrap();
        assert!(html.contains(&format!("({number})")), "{query:?}: {html}");
        assert!(!html.contains("<form") && !html.contains("evil"), "{html}");
    }
    assert_eq!(site.server.stats().pages, 0);
}

#[tokio::test]
async fn malformed_text_is_refused_and_harms_nobody() {
    let site = Site::start().await;
    for query in ["client_id=%", "%zz=1", "client_id=%ff", "a=1&a=1", "&&=&"] {
        let page = reqwest::get(format!("{}/oauth2.0/authorize?{query}", site.origin)).await.unwrap();
        assert_eq!(page.status(), StatusCode::BAD_REQUEST, "{query}");
        for path in ["/oauth2.0/token", "/oauth2.0/me"] {
            let answer = reqwest::get(format!("{}{path}?{query}", site.origin)).await.unwrap().text().await.unwrap();
            assert!(answer.starts_with("callback( {\"error\":1000"), "{path} {query}: {answer}");
        }
        let info = reqwest::get(format!("{}/user/get_user_info?{query}", site.origin)).await.unwrap();
        assert!(info.text().await.unwrap().starts_with("{\"ret\":1000"), "{query}");
    }
    let post = |body: Vec<u8>, kind: &'static str| {
        let url = format!("{}/oauth2.0/authorize", site.origin);
        reqwest::Client::new().post(url).header("content-type", kind).body(body).send()
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(post(b"{}".to_vec(), "application/json").await.unwrap().status(), 415);
    assert_eq!(post(b"a=%".to_vec(), form).await.unwrap().status(), 400);
    assert_eq!(post(vec![0xff; 10], form).await.unwrap().status(), 400);
    assert_eq!(post(vec![b'a'; 17 * 1024], form).await.unwrap().status(), 413);
    assert_eq!(post(b"user=alice&decision=approve".to_vec(), form).await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_client_that_cannot_prove_itself_does_not_spend_the_code() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    let cases = [
        (with(exchange("shop", &code), "client_secret", "wrong"), 100_009),
        (with(exchange("shop", &code), "client_secret", "a-secret-of-the-tes"), 100_009),
        (without(exchange("shop", &code), "client_secret"), 100_002),
        (without(exchange("shop", &code), "client_id"), 100_001),
        (with(exchange("shop", &code), "client_id", "nobody"), 100_008),
        (without(exchange("shop", &code), "grant_type"), 100_004),
        (with(exchange("shop", &code), "grant_type", "password"), 100_004),
        (without(exchange("shop", &code), "code"), 100_005),
        (with(exchange("shop", &code), "grant_type", "refresh_token"), 100_006),
    ];
    for (query, number) in cases {
        let answer = json(site.token(&with(query, "fmt", "json")).await).await;
        assert_eq!(answer["error"], number);
    }
    assert!(site.exchange(&code).await["access_token"].is_string(), "the code is still good");
}

#[tokio::test]
async fn every_other_failure_spends_the_code() {
    let site = Site::start().await;
    type Query<'a> = Vec<(&'static str, &'a str)>;
    type Change = for<'a> fn(Query<'a>) -> Query<'a>;
    let changes: [(Change, u32); 4] = [
        (|query| with(query, "redirect_uri", "http://127.0.0.1:9/auth/qq/other"), 100_010),
        (|query| without(query, "redirect_uri"), 100_010),
        (|query| with(query, "client_id", "family"), 100_019),
        (|query| with(query, "code_verifier", VERIFIER), 100_019),
    ];
    for (change, number) in changes {
        let code = site.code("alice").await;
        let query = with(change(exchange("shop", &code)), "fmt", "json");
        assert_eq!(json(site.token(&query).await).await["error"], number);
        assert_eq!(site.exchange(&code).await["error"], 100_020);
    }
}

#[tokio::test]
async fn looking_at_the_token_endpoint_spends_nothing() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    let url = format!("{}/oauth2.0/token", site.origin);
    let head = reqwest::Client::new().head(url).query(&exchange("shop", &code)).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(site.exchange(&code).await["access_token"].is_string());
}

#[tokio::test]
async fn a_parameter_in_both_places_is_refused() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    let url = format!("{}/oauth2.0/token?client_id=strict", site.origin);
    let request = reqwest::Client::new().post(url).form(&exchange("shop", &code));
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("100029"), "{answer}");
}
