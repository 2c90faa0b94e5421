//! What no handler answers: routing, methods, bodies, health; and the order of the checks.

use reqwest::header::CONTENT_TYPE;

use crate::support::{host, plenty, raw, reply, shared};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn an_address_that_is_not_there_is_404() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let paths = [
        "/nothing",
        "/cart/",
        "/cart/lines/a/b",
        "/auth",
        "/auth/qq",
        "/auth/qq/",
        "/static/",
        "/static/nothing",
        "/static/p/nothing.svg",
        "/static/p/nothing",
        "/favicon.ico",
        "/.env",
        "/healthz/",
        "/%00",
        "/%2e%2e/etc/passwd",
    ];
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            if method != "GET" && path.starts_with("/static/p/") {
                continue;
            }
            reply(visitor.json(method, path)).await.problem(404);
            reply(visitor.html(method, path)).await.page(404);
        }
    }
    // Nothing asked for: a page.
    reply(visitor.request("GET", "/nothing")).await.page(404);
}

#[tokio::test]
async fn a_method_that_an_address_does_not_take_is_405() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let product = format!("/p/{}", plenty(0).0);
    let table = [
        ("POST", "/"),
        ("PUT", "/cart"),
        ("POST", "/cart"),
        ("GET", "/cart/lines"),
        ("GET", "/cart/lines/x"),
        ("DELETE", "/cart/lines/x"),
        ("GET", "/logout"),
        ("PATCH", "/checkout"),
        ("POST", "/orders"),
        ("DELETE", "/orders/x"),
        ("POST", &product),
        ("POST", "/c/nothing"),
        ("POST", "/search"),
        ("POST", "/auth/qq/start"),
        ("POST", "/auth/qq/callback"),
        ("POST", "/wallet"),
        ("POST", "/account"),
        ("POST", "/login"),
        ("OPTIONS", "/cart/lines"),
        ("POST", "/healthz"),
        ("DELETE", "/readyz"),
        ("POST", "/static/shop.css"),
        ("POST", "/static/p/nothing.svg"),
    ];
    for (method, path) in table {
        let answer = reply(visitor.json(method, path)).await;
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text);
        answer.problem(405);
        assert_ne!(answer.header("allow"), "", "{method} {path} says what it takes");
        reply(visitor.html(method, path)).await.page(405);
    }
}

#[tokio::test]
async fn a_body_above_64_kib_is_413_and_one_of_64_kib_is_read() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let csrf = visitor.csrf().await.unwrap();
    let (sku, _) = plenty(0);
    let body = |bytes: usize| {
        let form = format!("csrf={csrf}&sku={sku}&padding=");
        let padding = "x".repeat(bytes - form.len());
        form + &padding
    };
    let post = |bytes: usize| visitor.json("POST", "/cart/lines").header(CONTENT_TYPE, FORM).body(body(bytes));
    reply(post(64 * 1024)).await.see_other("/cart");
    reply(post(64 * 1024 + 1)).await.problem(413);
    let person = visitor.html("POST", "/cart/lines").header(CONTENT_TYPE, FORM).body(body(64 * 1024 + 1));
    reply(person).await.page(413);
    assert_eq!(visitor.lines().await, [(sku, 1)]);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_413_once_it_is_too_long() {
    let shop = shared().await;
    let head = b"POST /cart/lines HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: application/json\r\n\
                 content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut chunk = b"11000\r\n".to_vec();
    chunk.extend(vec![b'x'; 0x11000]);
    chunk.extend_from_slice(b"\r\n0\r\n\r\n");
    raw(host(&shop.origin), &[head, &chunk]).await.problem(413);
}

#[tokio::test]
async fn a_body_that_is_no_form_is_415() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let csrf = visitor.csrf().await.unwrap();
    let body = format!("csrf={csrf}&sku={}", plenty(1).0);
    for kind in ["", "application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form", "x"]
    {
        for path in ["/cart/lines", "/logout", "/checkout"] {
            let post = |request: reqwest::RequestBuilder| request.header(CONTENT_TYPE, kind).body(body.clone());
            reply(post(visitor.json("POST", path))).await.problem(415);
            reply(post(visitor.html("POST", path))).await.page(415);
        }
    }
    // Without the header altogether.
    reply(visitor.json("POST", "/cart/lines").body(Vec::new())).await.problem(415);
    assert_eq!(visitor.lines().await, []);
    for kind in [FORM, "application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-URLencoded"] {
        let post = visitor.json("POST", "/cart/lines").header(CONTENT_TYPE, kind).body(body.clone());
        reply(post).await.see_other("/cart");
    }
}

#[tokio::test]
async fn checks_come_in_their_order() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let csrf = visitor.csrf().await.unwrap();
    let (sku, _) = plenty(2);
    visitor.put(&sku, 1).await;
    let key = visitor.line(&sku).await["key"].as_str().unwrap().to_owned();
    let line = format!("/cart/lines/{key}");
    let huge = "x".repeat(70_000);
    let post = async |path: &str, kind: &str, body: &str| {
        reply(visitor.json("POST", path).header(CONTENT_TYPE, kind).body(body.to_owned())).await.status
    };
    assert_eq!(post("/nothing", "text/plain", &huge).await, 404, "routing before the body");
    assert_eq!(post("/wallet", "text/plain", &huge).await, 405);
    assert_eq!(post("/cart/lines", FORM, &huge).await, 413, "the body before csrf");
    assert_eq!(post("/cart/lines", "text/plain", "").await, 415);
    assert_eq!(post("/checkout", FORM, "").await, 403, "csrf before the session");
    assert_eq!(post("/checkout", FORM, &format!("csrf={csrf}")).await, 401, "the session before the token");
    assert_eq!(post("/cart/lines", FORM, "sku=nothing").await, 403, "csrf before what is known");
    assert_eq!(
        post("/cart/lines", FORM, &format!("csrf={csrf}&sku=nothing&quantity=-1")).await,
        404,
        "known before the form"
    );
    assert_eq!(post("/cart/lines", FORM, &format!("csrf={csrf}&sku={sku}&quantity=-1")).await, 422);
    assert_eq!(post("/cart/lines/x", FORM, &format!("csrf={csrf}&quantity=-1")).await, 404);
    assert_eq!(post(&line, FORM, &format!("csrf={csrf}&quantity=-1")).await, 422);
    assert_eq!(visitor.lines().await, [(sku, 1)]);
}

#[tokio::test]
async fn a_form_that_does_not_decode_names_nothing_known() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let csrf = visitor.csrf().await.unwrap();
    let (sku, _) = plenty(3);
    let table = [
        ("sku=%ff%fe".to_owned(), 404),
        ("sku=%zz&&==&%".into(), 404),
        (format!("sku={sku}%00"), 404),
        (format!("sku={sku}&quantity=%ff"), 422),
        (format!("sku={sku}&quantity=%"), 422),
        (format!("sku={sku}&quantity=1%00"), 422),
    ];
    for (form, status) in table {
        let body = format!("csrf={csrf}&{form}");
        let answer = reply(visitor.json("POST", "/cart/lines").header(CONTENT_TYPE, FORM).body(body)).await;
        assert_eq!(answer.status, status, "{form}: {}", answer.text);
    }
    assert_eq!(visitor.lines().await, []);
}

#[tokio::test]
async fn health_and_readiness() {
    let shop = shared().await;
    let visitor = shop.visitor();
    for path in ["/healthz", "/readyz"] {
        let answer = reply(visitor.request("GET", path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok"));
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let product = format!("/p/{}", plenty(0).0);
    for path in ["/", &product, "/cart", "/login", "/healthz", "/static/shop.css"] {
        let answer = reply(visitor.html("HEAD", path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
    for (path, status) in [("/nothing", 404), ("/cart/lines", 405), ("/p/nothing", 404)] {
        let answer = reply(visitor.json("HEAD", path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, ""), "{path}");
    }
    assert_eq!(reply(visitor.html("HEAD", "/wallet")).await.location(), "/login");
}

#[tokio::test]
async fn odd_addresses_are_refused_in_order() {
    let shop = shared().await;
    let get = async |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: application/json\r\n\r\n");
        raw(host(&shop.origin), &[head.as_bytes()]).await
    };
    for path in [
        "/p/%ff",
        "/p/%",
        "/p/%zz",
        "/p/%00",
        "/c/%ff",
        "/p/%2e%2e",
        "/p/../cart%2f",
        "/p/a%2Fb",
        "/p/caf%C3%A9",
        "//",
        "//evil.example/cart",
        "/p/..%2f..%2fetc%2fpasswd",
        "/auth/%ff/start",
        "/cart;x=1",
        "/Cart",
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        answer.problem(404);
    }
    for (path, status) in [("/search?q=%ff%00%", 200), ("/?%ff", 200), ("/search?", 200), ("/cart?a=%zz&&==", 200)] {
        assert_eq!(get(path).await.status, status, "{path}");
    }
    let long = format!("/p/{}", "a".repeat(20_000));
    assert_eq!(get(&long).await.status, 404);
    let known = format!("/p/%{:02x}{}", plenty(0).0.as_bytes()[0], &plenty(0).0[1..]);
    assert_eq!(get(&known).await.status, 200, "an address may be written with more escapes than it needs");
}

#[tokio::test]
async fn fixed_files_are_there_and_set_no_cookie() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let picture = format!("/static/p/{}.svg", plenty(0).0);
    for (path, kind) in
        [("/static/shop.css", "text/css"), ("/static/mark.svg", "image/svg+xml"), (&picture, "image/svg+xml")]
    {
        let answer = reply(visitor.request("GET", path)).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").starts_with(kind));
        assert_eq!(answer.header("set-cookie"), "", "{path}");
    }
}

#[tokio::test]
async fn pages_are_not_stored_not_framed_and_run_no_script() {
    let shop = shared().await;
    let visitor = shop.visitor();
    for path in ["/", "/nothing", "/cart"] {
        let answer = reply(visitor.html("GET", path)).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("script-src") && !answer.text.contains("<script"), "{path}");
        assert!(answer.header("cache-control").contains("no-store"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}
