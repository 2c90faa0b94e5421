//! What the shop sells: one list, drawn from a seed number, the same on every machine.
//!
//! The catalog is fixed while the process runs. Stock and balances live in the databases; this list only says what they
//! start from. [`picture`] draws a product from its SKU, so nothing is downloaded and nothing is licensed.

mod coats;
mod forms;
mod picture;
mod random;
mod seed;
#[cfg(test)]
mod tests;
mod wares;

use std::collections::HashMap;

pub use picture::picture;

/// What every wallet holds at the start, in minor units. It pays for 400 units of any ordinary product and for no
/// collector's piece.
pub const OPENING_BALANCE: i64 = 20_000_000;

/// The seed of a shop that is started without one.
pub const DEFAULT_SEED: u64 = 20_261;

/// No ordinary product costs more than this, in minor units.
const DEAREST_ORDINARY: i64 = 50_000;

/// A shelf of the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// The slug in `/c/{category}`.
    pub id: &'static str,
    /// The name that people read.
    pub name: &'static str,
    /// One sentence under the name.
    pub blurb: &'static str,
}

/// One entry of the catalog, which is one SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Lower-case ASCII letters, digits and hyphens.
    pub sku: String,
    /// The name that people read.
    pub name: String,
    /// The id of its [`Category`].
    pub category: &'static str,
    /// Minor units.
    pub price: i64,
    /// The stock before the first order.
    pub initial_stock: i64,
    /// Two short sentences.
    pub description: String,
}

/// All categories and products of one seed.
#[derive(Debug, Clone)]
pub struct Catalog {
    products: Vec<Product>,
    by_sku: HashMap<String, usize>,
    pairs: Vec<Vec<usize>>,
}

impl Catalog {
    /// Draws the catalog of `seed`. The same seed gives the same catalog, always.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let products = seed::products(seed);
        let pairs = seed::pairs(seed, &products);
        let by_sku = products.iter().enumerate().map(|(at, product)| (product.sku.clone(), at)).collect();
        Self { products, by_sku, pairs }
    }

    /// The shelves, in the order in which the shop shows them.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        wares::CATEGORIES
    }

    /// The category with this id.
    #[must_use]
    pub fn category(&self, id: &str) -> Option<&Category> {
        self.categories().iter().find(|category| category.id == id)
    }

    /// Everything, shelf after shelf, the collector's piece last.
    #[must_use]
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// The product with exactly this SKU.
    #[must_use]
    pub fn product(&self, sku: &str) -> Option<&Product> {
        self.by_sku.get(sku).and_then(|at| self.products.get(*at))
    }

    /// The products of one category; none for an unknown one.
    #[must_use]
    pub fn in_category(&self, id: &str) -> Vec<&Product> {
        self.products.iter().filter(|product| product.category == id).collect()
    }

    /// The products whose name contains `part`, whatever the case. Space around `part` does not count; nothing finds
    /// nothing.
    #[must_use]
    pub fn search(&self, part: &str) -> Vec<&Product> {
        let part = part.trim().to_lowercase();
        if part.is_empty() {
            return Vec::new();
        }
        self.products.iter().filter(|product| product.name.to_lowercase().contains(&part)).collect()
    }

    /// What goes with this product: pairs that the seed planted, in both directions. None for an unknown SKU.
    #[must_use]
    pub fn bought_together(&self, sku: &str) -> Vec<&Product> {
        let partners = self.by_sku.get(sku).and_then(|at| self.pairs.get(*at));
        partners.into_iter().flatten().filter_map(|at| self.products.get(*at)).collect()
    }
}
