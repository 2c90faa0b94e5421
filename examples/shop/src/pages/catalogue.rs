//! Home, category, search and product page.

use askama::Template;

use super::{Chrome, filters};

/// A link to a category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryLink {
    /// The slug in `/c/{category}`.
    pub id: String,
    /// The name that people read.
    pub name: String,
}

/// A product in a grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductCard {
    /// The SKU.
    pub sku: String,
    /// The name that people read.
    pub name: String,
    /// Minor units.
    pub price: i64,
    /// What is left; `None` says nothing about it.
    pub stock: Option<i64>,
}

impl ProductCard {
    fn note(&self) -> String {
        match self.stock {
            Some(left) if left <= 0 => "Sold out".to_owned(),
            Some(left) if left < FEW => format!("Only {left} left"),
            _ => String::new(),
        }
    }
}

/// Below this many the shop says how many are left.
const FEW: i64 = 10;

/// `/`: everything.
#[derive(Debug, Clone, Template)]
#[template(path = "home.html")]
pub struct HomePage {
    /// What is around the page.
    pub chrome: Chrome,
    /// All categories.
    pub categories: Vec<CategoryLink>,
    /// All products.
    pub products: Vec<ProductCard>,
}

impl HomePage {
    /// Three products from different shelves for the shop window.
    fn window(&self) -> Vec<&ProductCard> {
        let step = (self.products.len() / 3).max(1);
        self.products.iter().skip(step / 2).step_by(step).take(3).collect()
    }
}

/// `/c/{category}`.
#[derive(Debug, Clone, Template)]
#[template(path = "category.html")]
pub struct CategoryPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// All categories.
    pub categories: Vec<CategoryLink>,
    /// This category.
    pub category: CategoryLink,
    /// One sentence about it.
    pub blurb: String,
    /// Its products.
    pub products: Vec<ProductCard>,
}

/// `/search?q=`; the term is [`Chrome::search`].
#[derive(Debug, Clone, Template)]
#[template(path = "search.html")]
pub struct SearchPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// All categories.
    pub categories: Vec<CategoryLink>,
    /// What was found.
    pub products: Vec<ProductCard>,
}

/// `/p/{sku}`.
#[derive(Debug, Clone, Template)]
#[template(path = "product.html")]
pub struct ProductPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// The SKU.
    pub sku: String,
    /// The name that people read.
    pub name: String,
    /// Two short sentences.
    pub description: String,
    /// The shelf it is on.
    pub category: CategoryLink,
    /// Minor units.
    pub price: i64,
    /// What is left.
    pub stock: i64,
    /// What goes with it.
    pub bought_together: Vec<ProductCard>,
}

impl ProductPage {
    fn is_sold_out(&self) -> bool {
        self.stock <= 0
    }

    fn few(&self) -> bool {
        (1..FEW).contains(&self.stock)
    }
}
