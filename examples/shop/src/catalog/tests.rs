use std::collections::HashSet;

use super::coats::COATS;
use super::forms::FORMS;
use super::{Catalog, DEFAULT_SEED, OPENING_BALANCE, Product, picture};

const SEEDS: [u64; 8] = [0, 1, 2, 7, 42, DEFAULT_SEED, 1 << 40, u64::MAX];

fn for_each_seed(check: impl Fn(u64, &Catalog)) {
    for seed in SEEDS {
        check(seed, &Catalog::seeded(seed));
    }
}

fn plenty(catalog: &Catalog) -> Vec<&Product> {
    catalog.products().iter().filter(|product| product.initial_stock >= 200).collect()
}

#[test]
fn the_same_seed_gives_the_same_catalog_and_another_seed_another() {
    for_each_seed(|seed, catalog| {
        assert_eq!(catalog.products(), Catalog::seeded(seed).products());
        assert_ne!(catalog.products(), Catalog::seeded(seed ^ 1).products(), "seed {seed}");
    });
}

#[test]
fn skus_are_unique_slugs_and_names_are_unique() {
    for_each_seed(|seed, catalog| {
        let skus: HashSet<_> = catalog.products().iter().map(|product| &product.sku).collect();
        let names: HashSet<_> = catalog.products().iter().map(|product| &product.name).collect();
        assert!(skus.len() >= 48, "seed {seed}: {}", skus.len());
        assert_eq!(skus.len(), catalog.products().len());
        assert_eq!(names.len(), catalog.products().len());
        for sku in skus {
            let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(sku.chars().all(slug) && !sku.starts_with('-') && !sku.ends_with('-'), "{sku}");
            assert!(sku.len() <= 64 && !sku.contains("--"), "{sku}");
        }
    });
}

#[test]
fn every_product_is_on_a_shelf_and_no_shelf_is_empty() {
    for_each_seed(|seed, catalog| {
        assert_eq!(catalog.categories().len(), 8);
        let shelved: usize = catalog.categories().iter().map(|category| catalog.in_category(category.id).len()).sum();
        assert_eq!(shelved, catalog.products().len());
        for category in catalog.categories() {
            assert!(catalog.in_category(category.id).len() >= 6, "seed {seed}: {}", category.id);
            assert_eq!(catalog.category(category.id), Some(category));
        }
        assert_eq!(catalog.category("attic"), None);
        assert!(catalog.in_category("attic").is_empty());
    });
}

#[test]
fn everyone_can_pay_for_400_of_the_dearest_that_is_plentiful() {
    for_each_seed(|seed, catalog| {
        let plenty = plenty(catalog);
        assert!(plenty.len() >= 20, "seed {seed}: {}", plenty.len());
        let dearest = plenty.iter().map(|product| product.price).max().unwrap();
        assert!(400 * dearest <= OPENING_BALANCE, "seed {seed}: {dearest}");
        assert!(catalog.products().iter().all(|product| product.price > 0));
    });
}

#[test]
fn something_is_sold_out_and_something_is_beyond_any_purse() {
    for_each_seed(|seed, catalog| {
        let sold_out = catalog.products().iter().filter(|product| product.initial_stock == 0).count();
        assert_eq!(sold_out, 1, "seed {seed}");
        let beyond: Vec<_> = catalog.products().iter().filter(|product| product.price > OPENING_BALANCE).collect();
        assert_eq!(beyond.len(), 1, "seed {seed}");
        assert!(beyond.iter().all(|product| product.initial_stock > 0 && product.name.contains("Collector")));
    });
}

#[test]
fn a_sku_finds_its_product_exactly() {
    for_each_seed(|_, catalog| {
        for product in catalog.products() {
            assert_eq!(catalog.product(&product.sku), Some(product));
            assert_eq!(catalog.product(&product.sku.to_uppercase()), None);
        }
        assert_eq!(catalog.product(""), None);
    });
}

#[test]
fn search_finds_a_part_of_the_name_whatever_the_case() {
    for_each_seed(|_, catalog| {
        for product in catalog.products() {
            let middle = product.name.get(1..product.name.len() - 1).unwrap();
            for part in [product.name.to_lowercase(), product.name.to_uppercase(), format!("  {middle} ")] {
                assert!(catalog.search(&part).contains(&product), "{part}");
            }
        }
        let pots = catalog.search("pOt");
        assert!(pots.len() >= 3 && pots.iter().all(|product| product.name.to_lowercase().contains("pot")));
        assert!(catalog.search("no such thing").is_empty() && catalog.search("  ").is_empty());
    });
}

#[test]
fn planted_pairs_are_symmetric_and_never_a_product_with_itself() {
    for_each_seed(|seed, catalog| {
        for product in catalog.products() {
            let partners = catalog.bought_together(&product.sku);
            assert!((2..=6).contains(&partners.len()), "seed {seed}: {} has {}", product.sku, partners.len());
            let distinct: HashSet<_> = partners.iter().map(|partner| &partner.sku).collect();
            assert!(distinct.len() == partners.len() && !distinct.contains(&product.sku));
            for partner in partners {
                assert!(catalog.bought_together(&partner.sku).contains(&product), "{} {}", product.sku, partner.sku);
            }
        }
        assert!(catalog.bought_together("nothing").is_empty());
    });
}

#[test]
fn a_picture_depends_on_the_sku_alone_and_holds_no_colour_names_unpainted() {
    let catalog = Catalog::seeded(DEFAULT_SEED);
    let pictures: HashSet<_> = catalog.products().iter().map(|product| picture(&product.sku)).collect();
    assert_eq!(pictures.len(), catalog.products().len(), "two products share a picture");
    for drawing in pictures {
        assert!(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n") && !drawing.contains('@'), "{drawing}");
        crate::pages::markup::check(&drawing);
    }
}

#[test]
fn every_ware_has_a_form_and_a_coat_of_its_own() {
    for_each_seed(|_, catalog| {
        for product in catalog.products() {
            let forms = FORMS.iter().filter(|form| form.wares.iter().any(|ware| product.sku.contains(ware)));
            assert_eq!(forms.count(), 1, "{}", product.sku);
            let coats = COATS.iter().filter(|coat| product.sku.starts_with(&format!("{}-", coat.finish)));
            assert_eq!(coats.count(), 1, "{}", product.sku);
        }
    });
}

#[test]
fn a_picture_of_a_hostile_sku_repeats_none_of_it() {
    let drawing = picture("\"/><script>alert(1)</script>");
    assert!(!drawing.contains("script") && !drawing.contains("alert"));
    crate::pages::markup::check(&drawing);
}
