//! A visitor: the program's own browser, and what a test needs besides.

use std::ops::Deref;
use std::time::Duration;

use reqwest::header::{ACCEPT, COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use shop::demo::Browser;

use super::{Form, Reply, SOON, reply};

/// One visitor with one cookie jar.
#[derive(Clone, Debug)]
pub struct Visitor {
    browser: Browser,
    origin: String,
}

impl Deref for Visitor {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Visitor {
    pub fn new(origin: &str) -> Self {
        Self { browser: Browser::new(origin).unwrap(), origin: origin.to_owned() }
    }

    /// A request of this visitor that accepts nothing in particular.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.browser.client().request(method.parse::<Method>().unwrap(), self.url(path)).timeout(SOON)
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with('/') { format!("{}{path}", self.origin) } else { path.to_owned() }
    }

    /// The same as a program.
    pub fn json(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).header(ACCEPT, "application/json")
    }

    /// The same as a person.
    pub fn html(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).header(ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
    }

    /// A page as a person sees it.
    pub async fn page(&self, path: &str) -> String {
        let page = reply(self.html("GET", path)).await;
        page.page(200);
        page.text
    }

    /// Fills and sends a form as a person.
    pub async fn send(&self, form: &Form) -> Reply {
        reply(self.html("POST", &form.action).form(&form.fields)).await
    }

    /// A JSON page that must be there.
    pub async fn read(&self, path: &str) -> Value {
        self.get(path).await.unwrap().ok().unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// A form post with the session's csrf value: the answer for a program.
    pub async fn write(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let csrf = self.csrf().await.unwrap();
        let mut form = vec![("csrf", csrf.as_str())];
        form.extend_from_slice(fields);
        reply(self.json("POST", path).form(&form)).await
    }

    /// Puts something into the cart.
    pub async fn put(&self, sku: &str, quantity: u32) {
        let added = self.add(sku, quantity).await.unwrap().see_other();
        assert_eq!(added.unwrap_or_else(|error| panic!("{quantity} × {sku}: {error}")), "/cart");
    }

    /// Sets the quantity of a SKU's line.
    pub async fn set(&self, sku: &str, quantity: u32) {
        let key = self.line(sku).await["key"].as_str().unwrap().to_owned();
        self.write(&format!("/cart/lines/{key}"), &[("quantity", &quantity.to_string())]).await.see_other("/cart");
    }

    /// Checks or unchecks a SKU's line.
    pub async fn check(&self, sku: &str, checked: bool) {
        let key = self.line(sku).await["key"].as_str().unwrap().to_owned();
        let checked = if checked { "1" } else { "0" };
        self.write(&format!("/cart/lines/{key}"), &[("checked", checked)]).await.see_other("/cart");
    }

    /// The cart's line of a SKU, or null.
    pub async fn line(&self, sku: &str) -> Value {
        let cart = self.read("/cart").await;
        cart["lines"].as_array().unwrap().iter().find(|line| line["sku"] == sku).cloned().unwrap_or_default()
    }

    /// SKU and quantity of each line, by SKU.
    pub async fn lines(&self) -> Vec<(String, i64)> {
        let cart = self.read("/cart").await;
        let line = |line: &Value| (line["sku"].as_str().unwrap().to_owned(), line["quantity"].as_i64().unwrap());
        let mut lines: Vec<_> = cart["lines"].as_array().unwrap().iter().map(line).collect();
        lines.sort();
        lines
    }

    /// Takes everything out of the cart.
    pub async fn empty_cart(&self) {
        for (sku, _) in self.lines().await {
            self.set(&sku, 0).await;
        }
    }

    /// The confirm page.
    pub async fn confirm(&self) -> Value {
        self.read("/checkout").await
    }

    /// Submits a confirm page that must be accepted: where the order is.
    pub async fn buy(&self, confirm: &Value) -> String {
        let answer = self.submit(confirm).await.unwrap();
        let order = answer.see_other().unwrap_or_else(|error| panic!("not ordered: {error}"));
        assert!(order.starts_with("/orders/"), "{order}");
        order
    }

    /// Submits a confirm page that must be refused with `status`.
    pub async fn refused(&self, confirm: &Value, status: u16) {
        let field = |name: &str| confirm[name].as_str().unwrap_or_default().to_owned();
        let form = [("csrf", field("csrf")), ("order_token", field("order_token"))];
        reply(self.json("POST", "/checkout").form(&form)).await.problem(status);
    }

    /// The ids of the orders, newest first.
    pub async fn orders(&self) -> Vec<String> {
        let orders = self.read("/orders").await;
        orders["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until an order's page says that its buyer was notified.
    pub async fn notified(&self, order: &str) {
        testkit::eventually(Duration::from_secs(10), async || {
            let shown = self.get(order).await.and_then(shop::demo::Answer::ok).map_err(|error| error.to_string())?;
            if shown["notified"] == true { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    }

    /// A request with this `Cookie` header and no jar.
    pub fn with_cookie(&self, method: &str, path: &str, cookie: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let method = method.parse::<Method>().unwrap();
        let request = client.request(method, self.url(path)).timeout(SOON);
        request.header(ACCEPT, "application/json").header(COOKIE, cookie)
    }
}
