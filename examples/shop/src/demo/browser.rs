//! A browser without JavaScript: a cookie jar, forms, redirects by hand.

use reqwest::header::{ACCEPT, LOCATION};
use reqwest::redirect::Policy;
use serde_json::Value;

use super::Surprise;

/// One visitor of the shop.
#[derive(Clone, Debug)]
pub struct Browser {
    client: reqwest::Client,
    shop: String,
}

/// An answer of the shop, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Where it sends the browser.
    pub location: Option<String>,
    /// The JSON body, or null.
    pub body: Value,
}

impl Answer {
    /// The body of a 200.
    ///
    /// # Errors
    /// If the status is another.
    pub fn ok(self) -> Result<Value, Surprise> {
        if self.status == 200 { Ok(self.body) } else { Err(format!("{} {}", self.status, self.body).into()) }
    }

    /// The location of a 303.
    ///
    /// # Errors
    /// If the status is another.
    pub fn see_other(self) -> Result<String, Surprise> {
        match self.location {
            Some(location) if self.status == 303 => Ok(location),
            _ => Err(format!("{} {}", self.status, self.body).into()),
        }
    }
}

impl Browser {
    /// A new visitor of the shop at `shop`, an origin such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn new(shop: &str) -> Result<Self, Surprise> {
        let client = reqwest::Client::builder().cookie_store(true).redirect(Policy::none()).no_proxy().build()?;
        Ok(Self { client, shop: shop.to_owned() })
    }

    /// The same visitor where the shop has moved to another port. Cookies do not know ports.
    #[must_use]
    pub fn at(mut self, shop: &str) -> Self {
        shop.clone_into(&mut self.shop);
        self
    }

    /// The HTTP client with its cookies.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with('/') { format!("{}{path}", self.shop) } else { path.to_owned() }
    }

    /// GET, asking for JSON.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer, Surprise> {
        read(self.client.get(self.url(path)).header(ACCEPT, "application/json").send().await?).await
    }

    /// POST of a form, with nothing added.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, Surprise> {
        read(self.client.post(self.url(path)).header(ACCEPT, "application/json").form(form).send().await?).await
    }

    /// The session's csrf value.
    ///
    /// # Errors
    /// If the cart's page does not answer.
    pub async fn csrf(&self) -> Result<String, Surprise> {
        Ok(self.get("/cart").await?.ok()?["csrf"].as_str().unwrap_or_default().to_owned())
    }

    /// Puts `quantity` of a SKU into the cart.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn add(&self, sku: &str, quantity: u32) -> Result<Answer, Surprise> {
        let (csrf, quantity) = (self.csrf().await?, quantity.to_string());
        self.post("/cart/lines", &[("csrf", &csrf), ("sku", sku), ("quantity", &quantity)]).await
    }

    /// Submits a confirm page that was read with [`get`](Self::get).
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn submit(&self, confirm: &Value) -> Result<Answer, Surprise> {
        let field = |name: &str| confirm[name].as_str().unwrap_or_default();
        self.post("/checkout", &[("csrf", field("csrf")), ("order_token", field("order_token"))]).await
    }

    /// Signs in at mini-qq and answers where the shop sent the browser in the end.
    ///
    /// # Errors
    /// If a step answers something else than it should.
    pub async fn login(&self, user: &str, return_to: &str) -> Result<String, Surprise> {
        let authorize = self.start(return_to).await?;
        let callback = self.approve(&authorize, user, "approve").await?;
        self.get(&callback).await?.see_other()
    }

    /// Starts a login: the authorize URL at the provider.
    ///
    /// # Errors
    /// If the shop does not redirect.
    pub async fn start(&self, return_to: &str) -> Result<String, Surprise> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", return_to).finish();
        self.get(&format!("/auth/qq/start?{query}")).await?.see_other()
    }

    /// Opens an authorize page, fills its form and sends it: where the provider sends the browser.
    ///
    /// # Errors
    /// If the page is not one form, or the answer not a redirect.
    pub async fn approve(&self, authorize: &str, user: &str, decision: &str) -> Result<String, Surprise> {
        let page = self.client.get(authorize).send().await?;
        let url = page.url().clone();
        if page.status() != 200 {
            return Err(format!("the authorize page answered {}", page.status()).into());
        }
        let html = page.text().await?;
        let (action, mut fields) = form(&html).ok_or("the authorize page is not one form")?;
        fields.push(("user".into(), user.into()));
        fields.push(("decision".into(), decision.into()));
        let answer = self.client.post(url.join(&action)?).form(&fields).send().await?;
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok()).map(str::to_owned);
        location.ok_or_else(|| format!("the provider answered {} and no redirect", answer.status()).into())
    }
}

async fn read(response: reqwest::Response) -> Result<Answer, Surprise> {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()).map(str::to_owned);
    let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null);
    Ok(Answer { status, location, body })
}

/// Action and hidden fields of the only POST form of a page.
fn form(html: &str) -> Option<(String, Vec<(String, String)>)> {
    let mut tags = html.split('<').filter(|tag| tag.starts_with("form"));
    let form = tags.next()?;
    if tags.next().is_some() {
        return None;
    }
    let hidden =
        html.split('<').filter(|tag| tag.starts_with("input") && attribute(tag, "type").as_deref() == Some("hidden"));
    let fields = hidden.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())));
    Some((attribute(form, "action").unwrap_or_default(), fields.collect()))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let start = tag.find(&format!(" {name}="))? + name.len() + 2;
    let value = &tag[start..];
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split_whitespace().next()?,
    };
    let plain = value.replace("&quot;", "\"").replace("&#34;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
    Some(plain.replace("&lt;", "<").replace("&gt;", ">").replace("&#38;", "&").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_stands() {
        let html = r#"<p>x</p><form method=post action="/go?a=1&amp;b=2"><input type="hidden" name="t" value="&quot;x&quot;"><input name="user"></form>"#;
        assert_eq!(form(html), Some(("/go?a=1&b=2".into(), vec![("t".into(), "\"x\"".into())])));
        assert_eq!(form("<form></form><form></form>"), None);
    }
}
