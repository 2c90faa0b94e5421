//! The shelves: home, categories, search, one product.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::app::App;
use crate::catalog::Product;
use crate::form::Form;
use crate::pages::{CategoryLink, CategoryPage, HomePage, ProductCard, ProductPage, SearchPage};
use crate::problem::Problem;
use crate::visit::Visit;

fn card(product: &Product) -> ProductCard {
    ProductCard { sku: product.sku.clone(), name: product.name.clone(), price: product.price, stock: None }
}

fn cards(products: &[&Product]) -> Vec<ProductCard> {
    products.iter().map(|product| card(product)).collect()
}

fn entries(products: &[&Product]) -> Vec<Value> {
    products.iter().map(|product| json!({ "sku": product.sku, "name": product.name, "price": product.price })).collect()
}

fn links(app: &App) -> Vec<CategoryLink> {
    let categories = app.stores.catalog.categories().iter();
    categories.map(|category| CategoryLink { id: category.id.to_owned(), name: category.name.to_owned() }).collect()
}

fn listing(app: &App, products: &[&Product]) -> Value {
    let categories = app.stores.catalog.categories().iter();
    let categories: Vec<_> = categories.map(|category| json!({ "id": category.id, "name": category.name })).collect();
    json!({ "products": entries(products), "categories": categories })
}

/// `GET /`
pub async fn home(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let products: Vec<_> = app.stores.catalog.products().iter().collect();
    let page = |chrome| HomePage { chrome, categories: links(&app), products: cards(&products) };
    visit.answer(&app, listing(&app, &products), page).await
}

/// `GET /c/{category}`
pub async fn category(State(app): State<Arc<App>>, Path(id): Path<String>, visit: Visit) -> Result<Response, Problem> {
    let category = app.stores.catalog.category(&id).ok_or_else(|| Problem::not_found("There is no such shelf."))?;
    let products = app.stores.catalog.in_category(category.id);
    let page = |chrome| CategoryPage {
        chrome,
        categories: links(&app),
        category: CategoryLink { id: category.id.to_owned(), name: category.name.to_owned() },
        blurb: category.blurb.to_owned(),
        products: cards(&products),
    };
    visit.answer(&app, listing(&app, &products), page).await
}

/// `GET /search?q=`
pub async fn search(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let query = visit.path.split_once('?').map_or("", |(_, query)| query);
    let form = Form::parse(query.as_bytes());
    let part = form.text("q").unwrap_or("").trim();
    // Every name contains the empty part.
    let products =
        if part.is_empty() { app.stores.catalog.products().iter().collect() } else { app.stores.catalog.search(part) };
    let page = |chrome| SearchPage { chrome, categories: links(&app), products: cards(&products) };
    visit.answer(&app, listing(&app, &products), page).await
}

/// `GET /p/{sku}`
pub async fn product(State(app): State<Arc<App>>, Path(sku): Path<String>, visit: Visit) -> Result<Response, Problem> {
    let product = app.stores.catalog.product(&sku).ok_or_else(|| Problem::not_found("There is no such product."))?;
    let stock = app.stores.stock.left(&product.sku).await?;
    let together = app.stores.catalog.bought_together(&product.sku);
    let data = json!({
        "sku": product.sku, "name": product.name, "price": product.price, "stock": stock,
        "bought_together": entries(&together),
    });
    let name = app.stores.catalog.category(product.category).map_or("", |category| category.name);
    let page = |chrome| ProductPage {
        chrome,
        sku: product.sku.clone(),
        name: product.name.clone(),
        description: product.description.clone(),
        category: CategoryLink { id: product.category.to_owned(), name: name.to_owned() },
        price: product.price,
        stock,
        bought_together: cards(&together),
    };
    visit.answer(&app, data, page).await
}
