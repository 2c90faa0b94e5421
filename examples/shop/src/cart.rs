//! The cart: one page, two posts.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use onceward_cart_store::{Cart, Command, Item, LineKey, Sku};
use serde_json::json;

use crate::app::App;
use crate::catalog::{Catalog, Product};
use crate::pages::{CartLine, CartPage};
use crate::problem::Problem;
use crate::visit::{Post, Visit, see_other};

/// The lines of a cart with what the catalogue says of them today. A cart holds no price to charge.
pub fn priced<'c>(
    catalog: &'c Catalog,
    cart: &'c Cart,
) -> impl Iterator<Item = (&'c onceward_cart_store::Line, &'c Product)> {
    cart.lines.iter().filter_map(|line| Some((line, catalog.product(line.sku())?)))
}

/// `GET /cart`
pub async fn show(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let cart = app.stores.carts.get(&visit.session.owner()).await?;
    let lines: Vec<_> = priced(&app.stores.catalog, &cart)
        .map(|(line, product)| CartLine {
            key: line.key.to_string(),
            sku: product.sku.clone(),
            name: product.name.clone(),
            quantity: i64::from(line.quantity),
            price: product.price,
            checked: line.checked,
        })
        .collect();
    let subtotal = lines.iter().filter(|line| line.checked).map(|line| line.quantity * line.price).sum();
    let member = visit.session.member.is_some();
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "key": line.key, "sku": line.sku, "name": line.name, "quantity": line.quantity, "price": line.price,
                "checked": line.checked,
            })
        })
        .collect();
    let data = json!({
        "owner": if member { "member" } else { "guest" }, "version": cart.version, "lines": rows, "subtotal": subtotal,
    });
    visit.answer(&app, data, |chrome| CartPage { chrome, member, lines, subtotal, merged: None }).await
}

/// `POST /cart/lines`
pub async fn add(State(app): State<Arc<App>>, post: Post) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("There is no such product.");
    let product = post.form.text("sku").and_then(|sku| app.stores.catalog.product(sku)).ok_or_else(unknown)?;
    let quantity = match post.form.text("quantity") {
        None => 1,
        Some(text) => number(text)
            .filter(|quantity| *quantity > 0)
            .ok_or_else(|| Problem::invalid("The quantity must be a whole number from 1 to 999."))?,
    };
    let sku = Sku::new(product.sku.as_str()).map_err(Problem::from)?;
    app.stores.carts.add(&post.visit.session.owner(), Item::new(sku), quantity).await?;
    Ok(see_other("/cart"))
}

/// `POST /cart/lines/{key}`
pub async fn change(State(app): State<Arc<App>>, Path(key): Path<String>, post: Post) -> Result<Response, Problem> {
    let owner = post.visit.session.owner();
    let unknown = || Problem::not_found("That is not in your cart.");
    let key = LineKey::new(key).map_err(|_| unknown())?;
    app.stores.carts.get(&owner).await?.line(&key).ok_or_else(unknown)?;

    let checked = match post.form.text("checked") {
        None => None,
        Some("0") => Some(false),
        Some("1") => Some(true),
        Some(_) => return Err(Problem::invalid("checked is 0 or 1.")),
    };
    let quantity = match post.form.text("quantity") {
        Some(text) => {
            Some(number(text).ok_or_else(|| Problem::invalid("The quantity must be a whole number from 0 to 999."))?)
        }
        None if checked.is_none() => return Err(Problem::invalid("Give a quantity.")),
        None => None,
    };
    let mut batch = Vec::new();
    if let Some(checked) = checked {
        batch.push(Command::Check { key: key.clone(), checked });
    }
    if let Some(quantity) = quantity {
        batch.push(Command::Set { key, quantity });
    }
    app.stores.carts.apply(&owner, &batch).await?;
    Ok(see_other("/cart"))
}

/// A whole number in plain digits; what does not fit is refused like any other excess.
fn number(text: &str) -> Option<u32> {
    let digits = text.trim();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}
