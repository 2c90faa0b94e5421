//! From a seed number to products and pairs.
//!
//! Every seed keeps the same promises: each ware of each category once, most of them with plenty of stock, some scarce,
//! one sold out, and one collector's piece that nobody can pay for.

use super::random::Random;
use super::wares::{CATEGORIES, COLLECTORS_CATEGORY, Ware, finishes, wares};
use super::{DEAREST_ORDINARY, Product};

/// How many wares of a category have plenty of stock; the others are scarce.
const PLENTY_PER_CATEGORY: usize = 4;
const MOST_PARTNERS: usize = 6;

pub(super) fn products(seed: u64) -> Vec<Product> {
    let mut random = Random::new(seed);
    let mut products = Vec::new();
    for category in CATEGORIES {
        let wares = wares(category.id);
        let mut finishes = finishes(category.id).to_vec();
        random.shuffle(&mut finishes);
        let mut ranks: Vec<usize> = (0..wares.len()).collect();
        random.shuffle(&mut ranks);
        for ((ware, finish), rank) in wares.iter().zip(finishes).zip(ranks) {
            let stock = stock(&mut random, rank);
            products.push(product(&mut random, category.id, ware, finish, stock));
        }
    }
    sell_out_one(&mut random, &mut products);
    products.push(collectors_piece(&mut random));
    products
}

fn stock(random: &mut Random, rank: usize) -> i64 {
    if rank < PLENTY_PER_CATEGORY { random.between(20, 60) * 10 } else { random.between(2, 48) }
}

fn product(random: &mut Random, category: &'static str, ware: &Ware, finish: (&str, &str), stock: i64) -> Product {
    let (finish, finish_says) = finish;
    // Prices end in .00 or .50 and lie within a quarter of what the ware usually costs.
    let halves = random.between(ware.price * 3 / 2, ware.price * 5 / 2);
    Product {
        sku: format!("{}-{}", slug(finish), slug(ware.name)),
        name: format!("{finish} {}", ware.name),
        category,
        price: (halves * 50).clamp(50, DEAREST_ORDINARY),
        initial_stock: stock,
        description: format!("{} {finish_says}", ware.says),
    }
}

fn sell_out_one(random: &mut Random, products: &mut [Product]) {
    let mut scarce: Vec<_> = products.iter_mut().filter(|product| product.initial_stock < 200).collect();
    let chosen = random.below(scarce.len());
    if let Some(product) = scarce.get_mut(chosen) {
        product.initial_stock = 0;
    }
}

fn collectors_piece(random: &mut Random) -> Product {
    let number = random.between(2, 40);
    Product {
        sku: format!("collector-lighthouse-no-{number}"),
        name: format!("Collector Lighthouse No. {number}"),
        category: COLLECTORS_CATEGORY,
        price: random.between(600, 900) * 100_000,
        initial_stock: random.between(1, 3),
        description:
            "The brass clockwork light of a harbour that silted up in 1911, restored and signed. It is dearer \
                      than any wallet here is full, so it is safe to try."
                .to_owned(),
    }
}

/// For each product the indexes of what goes with it, ascending. Symmetric, two to [`MOST_PARTNERS`] each.
pub(super) fn pairs(seed: u64, products: &[Product]) -> Vec<Vec<usize>> {
    let mut random = Random::new(seed ^ 0x7061_6972);
    let mut pairs = vec![Vec::new(); products.len()];
    let mut shelves: Vec<Vec<usize>> = CATEGORIES.iter().map(|category| shelf(products, category.id)).collect();
    for shelf in &mut shelves {
        random.shuffle(shelf);
        // A ring through the shelf gives everyone two neighbours.
        for (place, one) in shelf.iter().enumerate() {
            if let Some(other) = shelf.get((place + 1) % shelf.len()) {
                plant(&mut pairs, *one, *other);
            }
        }
    }
    for shelf in &shelves {
        for _ in 0..3 {
            let other = random.below(products.len());
            if let Some(one) = random.pick(shelf) {
                plant(&mut pairs, *one, other);
            }
        }
    }
    for partners in &mut pairs {
        partners.sort_unstable();
    }
    pairs
}

fn shelf(products: &[Product], category: &str) -> Vec<usize> {
    let at_home = |(at, product): (usize, &Product)| (product.category == category).then_some(at);
    products.iter().enumerate().filter_map(at_home).collect()
}

fn plant(pairs: &mut [Vec<usize>], one: usize, other: usize) {
    let full = |at: usize| pairs.get(at).is_none_or(|partners| partners.len() >= MOST_PARTNERS);
    let known = pairs.get(one).is_some_and(|partners| partners.contains(&other));
    if one == other || known || full(one) || full(other) {
        return;
    }
    for (at, partner) in [(one, other), (other, one)] {
        if let Some(partners) = pairs.get_mut(at) {
            partners.push(partner);
        }
    }
}

fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for part in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(&part.to_ascii_lowercase());
    }
    slug
}
