//! The page, the form, and who may send it back.

use mini_qq::Client;
use reqwest::StatusCode;

use crate::site::*;

const APPROVE: [(&str, &str); 2] = [("user", "alice"), ("decision", "approve")];

#[tokio::test]
async fn denying_sends_back_without_a_code() {
    let site = Site::start().await;
    for fields in [&[("decision", "deny")][..], &[("user", "alice"), ("decision", "deny")]] {
        let to = site.browser().answer(&asks("shop"), fields).await;
        assert_eq!(to, format!("{CALLBACK}?usercancel=1&state=state-1"));
    }
    assert_eq!(site.server.stats().denials, 2);
    assert_eq!(site.server.stats().approvals, 0);
}

#[tokio::test]
async fn any_state_comes_back_as_it_was() {
    let site = Site::start().await;
    for state in ["a&code=evil", "=?#%25 +女\n", "\"><script>"] {
        let query = with(asks("shop"), "state", state);
        let back = parameters(&site.browser().answer(&query, &APPROVE).await);
        assert_eq!(back["state"], state);
        assert_eq!(back["code"].len(), 64);
    }
    let to = site.browser().answer(&without(asks("shop"), "state"), &APPROVE).await;
    assert_eq!(parameters(&to).keys().collect::<Vec<_>>(), ["code"]);
}

#[tokio::test]
async fn a_redirect_uri_with_a_query_keeps_it() {
    let site = Site::start().await;
    let uri = format!("{CALLBACK}?shop=1");
    site.server.register(Client::new("shop", SECRET, [&uri])).unwrap();
    let to = site.browser().answer(&with(asks("shop"), "redirect_uri", &uri), &APPROVE).await;
    let back = parameters(&to);
    assert_eq!((back["shop"].as_str(), back["state"].as_str(), back["code"].len()), ("1", "state-1", 64));
}

#[tokio::test]
async fn the_form_is_good_for_the_browser_that_got_it() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.page(&asks("shop")).await;

    let stranger = site.browser();
    assert_eq!(stranger.send(&page, &APPROVE).await.status(), StatusCode::FORBIDDEN, "without a cookie");
    stranger.page(&asks("shop")).await;
    assert_eq!(stranger.send(&page, &APPROVE).await.status(), StatusCode::FORBIDDEN, "with another cookie");

    let value = &page.hidden[0].1;
    for changed in [String::new(), value[1..].to_owned(), format!("{value}0"), value.replace('.', "")] {
        let hidden = vec![(page.hidden[0].0.clone(), changed)];
        let page = Page { hidden, html: String::new(), action: page.action.clone() };
        assert_eq!(browser.send(&page, &APPROVE).await.status(), StatusCode::FORBIDDEN, "changed");
    }
    assert_eq!(site.server.stats().approvals, 0);
    assert_eq!(browser.send(&page, &APPROVE).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn tabs_of_a_browser_do_not_disturb_each_other() {
    let site = Site::start().await;
    let browser = site.browser();
    let first = browser.page(&with(asks("shop"), "state", "one")).await;
    let second = browser.page(&with(asks("shop"), "state", "two")).await;
    for (page, state) in [(first, "one"), (second, "two")] {
        assert_eq!(parameters(&location(&browser.send(&page, &APPROVE).await))["state"], state);
    }
}

#[tokio::test]
async fn an_old_page_is_not_answered() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.page(&asks("shop")).await;
    site.pass(59 * 60);
    assert_eq!(browser.send(&page, &APPROVE).await.status(), StatusCode::SEE_OTHER);
    site.pass(2 * 60);
    assert_eq!(browser.send(&page, &APPROVE).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_page_whose_client_has_moved_is_not_answered() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.page(&asks("shop")).await;
    site.server.register(Client::new("shop", SECRET, ["http://127.0.0.1:9/elsewhere"])).unwrap();
    assert_eq!(browser.send(&page, &APPROVE).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nonsense_in_the_form_is_refused() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.page(&asks("shop")).await;
    let cases: [&[(&str, &str)]; 7] = [
        &[("user", "mallory"), ("decision", "approve")],
        &[("user", "Alice"), ("decision", "approve")],
        &[("decision", "approve")],
        &[("user", "alice")],
        &[("user", "alice"), ("decision", "maybe")],
        &[("user", "alice"), ("decision", "approve"), ("decision", "deny")],
        &[("user", "alice"), ("user", "bob"), ("decision", "approve")],
    ];
    for fields in cases {
        let status = browser.send(&page, fields).await.status();
        assert!(status.is_client_error(), "{fields:?}: {status}");
    }
    assert_eq!(site.server.stats().approvals, 0);
}

#[tokio::test]
async fn the_page_cannot_be_framed_cached_or_given_away() {
    let site = Site::start().await;
    let response = site.browser().ask(&asks("shop")).await;
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(header(&response, "referrer-policy"), "no-referrer");
    assert_eq!(header(&response, "x-frame-options"), "DENY");
    let policy = header(&response, "content-security-policy");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self' http://127.0.0.1:9;"), "browsers check redirects too: {policy}");
    let cookie = header(&response, "set-cookie");
    assert!(cookie.starts_with("mini_qq_browser="), "{cookie}");
    assert!(cookie.ends_with("; Path=/oauth2.0/authorize; Max-Age=86400; HttpOnly; SameSite=Lax"), "{cookie}");
}

#[tokio::test]
async fn what_a_client_sends_is_text_on_the_page() {
    let site = Site::start().await;
    let page = site.browser().page(&with(asks("shop"), "scope", "get_user_info,list_album")).await;
    assert!(page.html.contains("your nickname") && page.html.contains("list_album"), "{}", page.html);
    assert!(!page.html.contains("<script"));
    for user in ["alice", "bob", "carol", "dave"] {
        assert!(page.html.contains(&format!("name=\"user\" value=\"{user}\"")));
    }
    let css = site.get("/mini-qq.css", &[]).await;
    assert_eq!((css.status(), header(&css, "content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert_eq!(site.get("/", &[]).await.status(), StatusCode::OK);
    assert_eq!(site.get("/nothing", &[]).await.status(), StatusCode::NOT_FOUND);
}
