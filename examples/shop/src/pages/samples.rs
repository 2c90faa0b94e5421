//! Every page with some content, for tests and for looking at.

use askama::Template;

use super::{
    AccountPage, CartLine, CartPage, CategoryLink, CategoryPage, CheckoutPage, Chrome, ErrorPage, HomePage, LedgerRow,
    LoginPage, OrderLine, OrderPage, OrderRow, OrdersPage, ProductCard, ProductPage, ProviderLink, SearchPage,
    WalletPage,
};
use crate::catalog::{Catalog, DEFAULT_SEED, OPENING_BALANCE, Product};

pub(crate) const ORDER: &str = "01932f6e-7c1d-7b02-9f50-6f5b8a1e2c33";

pub(crate) fn guest(path: &str) -> Chrome {
    Chrome { csrf: "csrf-value".to_owned(), path: path.to_owned(), cart_count: 2, ..Chrome::default() }
}

pub(crate) fn member(path: &str) -> Chrome {
    Chrome { nickname: Some("Alice".to_owned()), cart_count: 7, ..guest(path) }
}

pub(crate) fn card(product: &Product) -> ProductCard {
    ProductCard {
        sku: product.sku.clone(),
        name: product.name.clone(),
        price: product.price,
        stock: Some(product.initial_stock),
    }
}

pub(crate) fn shelves(catalog: &Catalog) -> Vec<CategoryLink> {
    let link = |category: &crate::catalog::Category| CategoryLink {
        id: category.id.to_owned(),
        name: category.name.to_owned(),
    };
    catalog.categories().iter().map(link).collect()
}

pub(crate) fn cards<'a>(products: impl IntoIterator<Item = &'a Product>) -> Vec<ProductCard> {
    products.into_iter().map(card).collect()
}

pub(crate) fn product(chrome: Chrome, catalog: &Catalog, product: &Product) -> ProductPage {
    ProductPage {
        chrome,
        sku: product.sku.clone(),
        name: product.name.clone(),
        description: product.description.clone(),
        category: shelves(catalog).into_iter().find(|shelf| shelf.id == product.category).unwrap(),
        price: product.price,
        stock: product.initial_stock,
        bought_together: cards(catalog.bought_together(&product.sku)),
    }
}

pub(crate) fn cart(chrome: Chrome, catalog: &Catalog) -> CartPage {
    let line = |(at, product): (usize, &Product)| CartLine {
        key: format!("key-{at}"),
        sku: product.sku.clone(),
        name: product.name.clone(),
        quantity: 1 + i64::try_from(at).unwrap(),
        price: product.price,
        checked: at != 2,
    };
    let lines: Vec<_> = catalog.products().iter().step_by(13).take(4).enumerate().map(line).collect();
    let subtotal = lines.iter().filter(|line| line.checked).map(|line| line.price * line.quantity).sum();
    CartPage { member: chrome.nickname.is_some(), chrome, lines, subtotal, merged: None }
}

fn order_lines(catalog: &Catalog) -> Vec<OrderLine> {
    let line =
        |line: CartLine| OrderLine { sku: line.sku, name: line.name, quantity: line.quantity, price: line.price };
    cart(Chrome::default(), catalog).lines.into_iter().filter(|line| line.checked).map(line).collect()
}

pub(crate) fn checkout(chrome: Chrome, catalog: &Catalog) -> CheckoutPage {
    let lines = order_lines(catalog);
    let total = lines.iter().map(|line| line.price * line.quantity).sum();
    CheckoutPage { chrome, order_token: "order-token-value".to_owned(), lines, total, balance: OPENING_BALANCE }
}

pub(crate) fn order(chrome: Chrome, catalog: &Catalog, status: &str, notified: bool) -> OrderPage {
    let checkout = checkout(chrome, catalog);
    OrderPage {
        chrome: checkout.chrome,
        id: ORDER.to_owned(),
        status: status.to_owned(),
        lines: checkout.lines,
        total: checkout.total,
        xid: "127.0.0.1:8091:2612341182754816".to_owned(),
        notified,
    }
}

/// Name and HTML of every page in its most telling states.
pub(crate) fn all() -> Vec<(String, String)> {
    let catalog = Catalog::seeded(DEFAULT_SEED);
    let mut pages = Vec::new();
    let mut add = |name: &str, page: &dyn DynRender| pages.push((name.to_owned(), page.html()));

    add("home", &HomePage { chrome: guest("/"), categories: shelves(&catalog), products: cards(catalog.products()) });
    let shelf = &catalog.categories()[3];
    add(
        "category",
        &CategoryPage {
            chrome: member(&format!("/c/{}", shelf.id)),
            categories: shelves(&catalog),
            category: CategoryLink { id: shelf.id.to_owned(), name: shelf.name.to_owned() },
            blurb: shelf.blurb.to_owned(),
            products: cards(catalog.in_category(shelf.id)),
        },
    );
    for (name, term) in [("search", "pot"), ("search-nothing", "grand piano"), ("search-empty", "")] {
        let chrome = Chrome { search: term.to_owned(), ..guest("/search?q=pot") };
        let products = cards(catalog.search(term));
        add(name, &SearchPage { chrome, categories: shelves(&catalog), products });
    }
    let of = |wanted: fn(&Product) -> bool| catalog.products().iter().find(|product| wanted(product)).unwrap();
    add("product", &product(guest("/p/x"), &catalog, of(|product| product.initial_stock > 200)));
    add("product-sold-out", &product(member("/p/x"), &catalog, of(|product| product.initial_stock == 0)));
    add("product-collectors", &product(member("/p/x"), &catalog, of(|product| product.price > OPENING_BALANCE)));
    add("cart", &cart(guest("/cart"), &catalog));
    add("cart-merged", &CartPage { merged: Some(2), ..cart(member("/cart"), &catalog) });
    add("cart-empty", &CartPage { lines: Vec::new(), subtotal: 0, ..cart(guest("/cart"), &catalog) });
    let providers = vec![ProviderLink { id: "qq".to_owned(), name: "mini-qq".to_owned() }];
    add("login", &LoginPage { chrome: guest("/login"), providers, return_to: "/checkout".to_owned() });
    let account = AccountPage {
        chrome: member("/account"),
        id: "qq:8F3A".to_owned(),
        nickname: "Alice".to_owned(),
        avatar: String::new(),
        provider: "mini-qq".to_owned(),
    };
    add("account", &account);
    add("account-avatar", &AccountPage { avatar: "/static/mark.svg".to_owned(), ..account });
    add("checkout", &checkout(member("/checkout"), &catalog));
    add("checkout-short", &CheckoutPage { balance: 1_234, ..checkout(member("/checkout"), &catalog) });
    let row = |status: &str, total| OrderRow { id: ORDER.to_owned(), status: status.to_owned(), total };
    let orders = vec![row("confirmed", 123_450), row("cancelled", 6_800), row("confirmed", 99_000)];
    add("orders", &OrdersPage { chrome: member("/orders"), orders });
    add("orders-empty", &OrdersPage { chrome: member("/orders"), orders: Vec::new() });
    let path = format!("/orders/{ORDER}");
    add("order-waiting", &order(member(&path), &catalog, "confirmed", false));
    add("order-notified", &order(member(&path), &catalog, "confirmed", true));
    add("order-cancelled", &order(member(&path), &catalog, "cancelled", false));
    let paid = |amount| LedgerRow { reference: ORDER.to_owned(), amount };
    let ledger = vec![paid(-123_450), paid(6_800), paid(-6_800)];
    add("wallet", &WalletPage { chrome: member("/wallet"), balance: 19_876_550, ledger });
    add("wallet-full", &WalletPage { chrome: member("/wallet"), balance: OPENING_BALANCE, ledger: Vec::new() });
    for status in [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 503] {
        add(&format!("error-{status}"), &ErrorPage::new(member("/p/x"), status));
    }
    pages
}

trait DynRender {
    fn html(&self) -> String;
}

impl<T: Template> DynRender for T {
    fn html(&self) -> String {
        self.render().unwrap()
    }
}
