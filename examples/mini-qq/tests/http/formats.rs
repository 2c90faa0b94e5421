//! The answers byte by byte.

use crate::site::*;

#[tokio::test]
async fn the_token_is_form_text_or_json() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    let response = site.token(&exchange("shop", &code)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&response, "cache-control"), "no-store");
    let body = response.text().await.unwrap();
    let [access, refresh] = secrets(&body, "access_token=", "&expires_in=7776000&refresh_token=", "");
    assert_ne!(access, refresh);

    let code = site.code("alice").await;
    let query = with(with(exchange("shop", &code), "fmt", "json"), "need_openid", "1");
    let response = site.token(&query).await;
    assert_eq!(header(&response, "content-type"), "application/json; charset=utf-8");
    let openid = site.server.openid("shop", "alice").unwrap();
    let tail = format!("\",\"openid\":\"{openid}\"}}");
    let body = response.text().await.unwrap();
    secrets(&body, "{\"access_token\":\"", "\",\"expires_in\":7776000,\"refresh_token\":\"", &tail);

    let code = site.code("alice").await;
    let body = site.token(&with(exchange("shop", &code), "need_openid", "1")).await.text().await.unwrap();
    secrets(&body, "access_token=", "&expires_in=7776000&refresh_token=", &format!("&openid={openid}"));
}

#[tokio::test]
async fn the_token_request_may_be_posted() {
    let site = Site::start().await;
    let code = site.code("alice").await;
    let form = exchange("shop", &code);
    let url = format!("{}/oauth2.0/token", site.origin);
    let body = reqwest::Client::new().post(url).form(&form).send().await.unwrap().text().await.unwrap();
    secrets(&body, "access_token=", "&expires_in=7776000&refresh_token=", "");
}

#[tokio::test]
async fn me_is_a_callback_or_json() {
    let site = Site::start().await;
    let access = site.access("bob").await;
    let openid = site.server.openid("shop", "bob").unwrap();
    let response = site.get("/oauth2.0/me", &[("access_token", &access)]).await;
    assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
    let wanted = format!("callback( {{\"client_id\":\"shop\",\"openid\":\"{openid}\"}} );");
    assert_eq!(response.text().await.unwrap(), wanted);
    let response = site.get("/oauth2.0/me", &[("access_token", &access), ("fmt", "json")]).await;
    assert_eq!(response.text().await.unwrap(), format!("{{\"client_id\":\"shop\",\"openid\":\"{openid}\"}}"));
}

#[tokio::test]
async fn errors_have_status_200_and_the_same_two_shapes() {
    let site = Site::start().await;
    let response = site.token(&exchange("shop", "unknown")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(
        response.text().await.unwrap(),
        "callback( {\"error\":100019,\"error_description\":\"code to access token error\"} );"
    );
    let response = site.token(&with(exchange("shop", "unknown"), "fmt", "json")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.text().await.unwrap(),
        "{\"error\":100019,\"error_description\":\"code to access token error\"}"
    );
    assert_eq!(
        site.get("/oauth2.0/me", &[("access_token", "unknown")]).await.text().await.unwrap(),
        "callback( {\"error\":100016,\"error_description\":\"access token check failed\"} );"
    );
    assert_eq!(
        site.get("/user/get_user_info", &[]).await.text().await.unwrap(),
        "{\"ret\":100007,\"msg\":\"param access_token is lost\"}"
    );
}

/// The two secrets between three fixed pieces.
fn secrets(body: &str, first: &str, second: &str, third: &str) -> [String; 2] {
    let inner = body.strip_prefix(first).and_then(|rest| rest.strip_suffix(third));
    let (one, two) = inner.and_then(|inner| inner.split_once(second)).unwrap_or_else(|| panic!("{body}"));
    for secret in [one, two] {
        assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()), "{secret}");
    }
    [one.to_owned(), two.to_owned()]
}
