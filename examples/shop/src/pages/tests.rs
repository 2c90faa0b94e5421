use askama::Template;

use super::filters::segment_text;
use super::markup::{Tag, check};
use super::{
    AccountPage, CartLine, CategoryLink, CheckoutPage, Chrome, ErrorPage, HomePage, MARK, OrderLine, ProductCard,
    ProductPage, STYLESHEET, SearchPage, money, samples,
};
use crate::catalog::{Catalog, DEFAULT_SEED};

const HOSTILE: &str = "\"><script>alert('x')</script><img src=x onerror=alert(1)>&amp;</title>";

fn catalog() -> Catalog {
    Catalog::seeded(DEFAULT_SEED)
}

fn html(page: &impl Template) -> String {
    page.render().unwrap()
}

fn posts<'a>(tags: &'a [Tag], action: &str) -> Vec<&'a Tag> {
    let is_form = |tag: &&Tag| tag.name == "form" && tag.get("method") == Some("post");
    tags.iter().filter(is_form).filter(|tag| tag.get("action") == Some(action)).collect()
}

/// The inputs between the form with this action and the next form.
fn inputs<'a>(tags: &'a [Tag], action: &str) -> Vec<&'a Tag> {
    let from = tags.iter().position(|tag| tag.name == "form" && tag.get("action") == Some(action)).unwrap();
    let inside = tags[from + 1..].iter().take_while(|tag| tag.name != "form");
    inside.filter(|tag| tag.name == "input").collect()
}

fn named(inputs: &[&Tag]) -> Vec<(String, String)> {
    let text = |tag: &Tag, name: &str| tag.get(name).unwrap_or_default().to_owned();
    inputs.iter().map(|tag| (text(tag, "name"), text(tag, "value"))).collect()
}

#[test]
fn money_is_grouped_and_has_two_minor_digits() {
    for (minor, text) in [
        (0, "¥0.00"),
        (5, "¥0.05"),
        (99_999, "¥999.99"),
        (123_450, "¥1,234.50"),
        (20_000_000, "¥200,000.00"),
        (123_456_789_012, "¥1,234,567,890.12"),
        (-6_800, "\u{2212}¥68.00"),
        (i64::MIN, "\u{2212}¥92,233,720,368,547,758.08"),
    ] {
        assert_eq!(money(minor), text);
    }
}

#[test]
fn a_segment_cannot_leave_its_place_in_the_address() {
    assert_eq!(segment_text("ash-glaze_mug.1~:@"), "ash-glaze_mug.1~:@");
    assert_eq!(segment_text("a/b?c#d%e\"<>&' é\\"), "a%2Fb%3Fc%23d%25e%22%3C%3E%26%27%20%C3%A9%5C");
}

#[test]
fn every_page_is_well_formed_and_has_its_landmarks() {
    for (name, html) in samples::all() {
        assert!(html.starts_with("<!doctype html>"), "{name}");
        let tags = check(&html);
        let count = |tag: &str| tags.iter().filter(|other| other.name == tag).count();
        for once in ["title", "header", "main", "footer", "h1"] {
            assert_eq!(count(once), 1, "{name}: {once}");
        }
        assert!(html.contains("class=\"skip\" href=\"#main\"") && html.contains("<html lang=\"en\">"), "{name}");
    }
}

#[test]
fn no_page_needs_a_script_or_an_inline_style() {
    for (name, html) in samples::all() {
        for tag in check(&html) {
            assert!(tag.name != "script" && tag.name != "style", "{name}");
            assert!(
                tag.names().all(|attribute| attribute != "style" && !attribute.starts_with("on")),
                "{name}: {tag:?}"
            );
            for address in ["href", "src", "action", "formaction"].iter().filter_map(|name| tag.get(name)) {
                assert!(address.starts_with(['/', '#']) && !address.starts_with("//"), "{name}: {address}");
            }
        }
    }
}

#[test]
fn every_input_has_a_label_and_every_picture_a_text() {
    for (name, html) in samples::all() {
        let tags = check(&html);
        for tag in &tags {
            if tag.name == "input" && tag.get("type") != Some("hidden") {
                let id = tag.get("id").unwrap();
                let label = |other: &&Tag| other.name == "label" && other.get("for") == Some(id);
                assert!(tags.iter().any(|other| label(&other)), "{name}: {id}");
            }
            assert!(tag.name != "img" || tag.get("alt").is_some(), "{name}: {tag:?}");
            if let Some(target) = tag.get("aria-labelledby") {
                assert!(tags.iter().any(|other| other.get("id") == Some(target)), "{name}: {target}");
            }
        }
    }
}

#[test]
fn every_page_shows_sign_in_or_sign_out_and_every_post_form_carries_the_csrf_value() {
    for (name, html) in samples::all() {
        let tags = check(&html);
        let sign_out = posts(&tags, "/logout").len();
        let sign_in = tags.iter().filter(|tag| tag.get("href").is_some_and(|href| href.starts_with("/login?"))).count();
        assert_eq!((sign_in + sign_out, sign_in * sign_out), (1, 0), "{name}");
        for form in tags.iter().filter(|tag| tag.name == "form" && tag.get("method") == Some("post")) {
            let csrf = ("csrf".to_owned(), "csrf-value".to_owned());
            let of_form = named(&inputs(&tags, form.get("action").unwrap()));
            assert_eq!(of_form.iter().filter(|input| **input == csrf).count(), 1, "{name}: {form:?}");
        }
    }
}

#[test]
fn the_checkout_has_one_order_form_with_its_two_hidden_inputs() {
    let catalog = catalog();
    for page in [
        samples::checkout(samples::member("/checkout"), &catalog),
        CheckoutPage { balance: 0, ..samples::checkout(samples::member("/checkout"), &catalog) },
    ] {
        let html = html(&page);
        let tags = check(&html);
        assert_eq!(posts(&tags, "/checkout").len(), 1);
        let inputs = inputs(&tags, "/checkout");
        assert!(inputs.iter().all(|input| input.get("type") == Some("hidden")));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(named(&inputs), [pair("csrf", "csrf-value"), pair("order_token", "order-token-value")]);
        assert_eq!(html.matches("order-token-value").count(), 1);
    }
}

#[test]
fn a_product_has_one_add_form_even_when_it_is_sold_out() {
    let catalog = catalog();
    for product in catalog.products() {
        let html = html(&samples::product(samples::guest("/p/x"), &catalog, product));
        let tags = check(&html);
        assert_eq!(posts(&tags, "/cart/lines").len(), 1);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            named(&inputs(&tags, "/cart/lines")),
            [pair("csrf", "csrf-value"), pair("sku", &product.sku), pair("quantity", "1")]
        );
        assert_eq!(html.contains("Sold out."), product.initial_stock == 0);
        assert!(html.contains(&money(product.price)));
    }
}

#[test]
fn a_cart_has_one_form_per_line_and_buttons_that_name_their_line() {
    let page = samples::cart(samples::guest("/cart"), &catalog());
    let html = html(&page);
    let tags = check(&html);
    for line in &page.lines {
        let action = format!("/cart/lines/{}", line.key);
        assert_eq!(posts(&tags, &action).len(), 1);
        let of_line = named(&inputs(&tags, &action));
        assert!(of_line.contains(&("quantity".to_owned(), line.quantity.to_string())), "{of_line:?}");
        let buttons: Vec<_> = tags.iter().filter(|tag| tag.get("formaction") == Some(&action)).collect();
        assert!(buttons.iter().all(|button| button.get("form") == Some("cart-actions")));
        let does = |name: &str, value: &str| {
            buttons
                .iter()
                .filter(|button| button.get("name") == Some(name) && button.get("value") == Some(value))
                .count()
        };
        assert_eq!((does("quantity", "0"), does("checked", if line.checked { "0" } else { "1" })), (1, 1));
        assert_eq!(buttons.len(), 2);
    }
    assert!(html.contains(&money(page.subtotal)) && html.contains("href=\"/checkout\""));
}

#[test]
fn a_cart_without_a_checked_line_leads_to_no_checkout() {
    let mut page = samples::cart(samples::guest("/cart"), &catalog());
    page.lines.iter_mut().for_each(|line| line.checked = false);
    assert!(!html(&page).contains("href=\"/checkout\""));
    page.lines.clear();
    assert!(!html(&page).contains("href=\"/checkout\""));
}

#[test]
fn the_merge_notice_is_there_only_when_items_came_over() {
    let mut page = samples::cart(samples::member("/cart"), &catalog());
    assert!(!html(&page).contains("before you signed in"));
    page.merged = Some(1);
    assert!(html(&page).contains("1 item from before you signed in is here now."));
    page.merged = Some(3);
    assert!(html(&page).contains("3 items from before you signed in are here now."));
}

#[test]
fn an_order_looks_again_only_while_its_notification_is_out() {
    let catalog = catalog();
    for (status, notified, refreshes) in
        [("confirmed", false, true), ("confirmed", true, false), ("cancelled", false, false)]
    {
        let page = samples::order(samples::member("/orders/1"), &catalog, status, notified);
        assert_eq!(html(&page).contains("http-equiv=\"refresh\""), refreshes, "{status} {notified}");
    }
}

#[test]
fn an_order_claims_to_be_paid_only_when_it_is_confirmed() {
    let catalog = catalog();
    for (status, paid) in [("confirmed", true), ("cancelled", false), ("in doubt", false)] {
        let html = html(&samples::order(samples::member("/orders/1"), &catalog, status, false));
        assert_eq!(html.contains("paid: all three together"), paid, "{status}");
        assert!(html.contains(&format!(">{status}</span>")), "{status}");
    }
}

#[test]
fn sign_in_comes_back_to_the_page_but_never_to_itself() {
    let href = |path: &str| {
        let tags = check(&html(&ErrorPage::new(samples::guest(path), 404)));
        tags.iter().filter_map(|tag| tag.get("href")).find(|href| href.starts_with("/login?")).unwrap().to_owned()
    };
    assert_eq!(href("/search?q=a b&x"), "/login?return_to=%2Fsearch%3Fq%3Da%20b%26x");
    assert_eq!(href("/login?return_to=%2Fcart"), "/login?return_to=%2F");
    assert_eq!(href(""), "/login?return_to=%2F");
}

#[test]
fn the_current_place_is_marked_for_people_who_do_not_see_it() {
    let chrome = |path: &str| Chrome { path: path.to_owned(), ..Chrome::default() };
    assert_eq!(chrome("/").current("/"), "page");
    assert_eq!(chrome("/cart?x=1").current("/cart"), "page");
    assert_eq!(chrome("/orders/17").current("/orders"), "true");
    assert_eq!(chrome("/ordersome").current("/orders"), "false");
    assert_eq!(chrome("/cart").current("/"), "false");
    assert_eq!(chrome("/c/table").current("/c/table"), "page");
}

#[test]
fn hostile_text_stays_text() {
    let catalog = catalog();
    let chrome = || Chrome {
        csrf: HOSTILE.to_owned(),
        nickname: Some(HOSTILE.to_owned()),
        cart_count: 1,
        search: HOSTILE.to_owned(),
        path: format!("/{HOSTILE}"),
    };
    let text = || HOSTILE.to_owned();
    let card = || ProductCard { sku: text(), name: text(), price: 1, stock: Some(1) };
    let shelf = || CategoryLink { id: text(), name: text() };
    let line = || OrderLine { sku: text(), name: text(), quantity: 1, price: 1 };
    let mut cart = samples::cart(chrome(), &catalog);
    cart.lines = vec![CartLine { key: text(), sku: text(), name: text(), quantity: 1, price: 1, checked: true }];
    let checkout = CheckoutPage { chrome: chrome(), order_token: text(), lines: vec![line()], total: 1, balance: 0 };
    let mut order = samples::order(chrome(), &catalog, HOSTILE, false);
    (order.id, order.xid, order.lines) = (text(), text(), vec![line()]);
    let product = ProductPage {
        chrome: chrome(),
        sku: text(),
        name: text(),
        description: text(),
        category: shelf(),
        price: 1,
        stock: 1,
        bought_together: vec![card()],
    };
    let account =
        AccountPage { chrome: chrome(), id: text(), nickname: text(), avatar: format!("/{HOSTILE}"), provider: text() };
    let error = ErrorPage::new(chrome(), 409).with_happened(HOSTILE).with_advice(HOSTILE).with_link("/", HOSTILE);
    let pages = [
        html(&HomePage { chrome: chrome(), categories: vec![shelf()], products: vec![card(); 4] }),
        html(&SearchPage { chrome: chrome(), categories: vec![shelf()], products: vec![card()] }),
        html(&product),
        html(&cart),
        html(&checkout),
        html(&order),
        html(&account),
        html(&error),
    ];
    for html in pages {
        let tags = check(&html);
        assert!(tags.iter().all(|tag| tag.name != "script"));
        assert!(tags.iter().all(|tag| tag.get("onerror").is_none()));
        assert!(html.contains("&#60;script&#62;"), "the text itself is shown");
    }
}

#[test]
fn an_avatar_that_is_no_address_is_an_initial() {
    for avatar in ["", "javascript:alert(1)", "data:text/html,x"] {
        let page = AccountPage {
            chrome: samples::member("/account"),
            id: "1".to_owned(),
            nickname: "émile".to_owned(),
            avatar: avatar.to_owned(),
            provider: "mini-qq".to_owned(),
        };
        let html = html(&page);
        assert!(!html.contains("<img class=\"avatar\"") && html.contains(">É</span>"), "{avatar}");
    }
}

#[test]
fn every_status_has_words_that_say_what_to_do() {
    for status in 400..600 {
        let page = ErrorPage::new(samples::guest("/p/x"), status);
        assert!(!page.title.is_empty() && !page.happened.is_empty() && !page.advice.is_empty());
        assert!(page.link.href.starts_with('/') && !page.link.label.is_empty(), "{status}");
        assert!(html(&page).contains(&format!("Status {status}")));
    }
}

#[test]
fn the_mark_is_well_formed() {
    check(MARK);
}

/// The value of a colour of the sheet: the first theme is light, the second dark.
fn colour(name: &str, theme: usize) -> [f64; 3] {
    let value = STYLESHEET.split(&format!("--{name}: #")).nth(theme + 1).unwrap().get(..6).unwrap();
    let channel = |at: usize| f64::from(u8::from_str_radix(value.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0;
    [channel(0), channel(2), channel(4)]
}

/// WCAG 2.2, relative luminance and contrast ratio.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn text_and_edges_have_enough_contrast_in_both_themes() {
    let text = [
        ("ink", "paper"),
        ("ink", "card"),
        ("soft", "paper"),
        ("soft", "card"),
        ("spruce", "paper"),
        ("spruce", "card"),
        ("spruce-deep", "paper"),
        ("on-spruce", "spruce"),
        ("on-spruce", "spruce-deep"),
        ("persimmon", "paper"),
        ("good", "paper"),
        ("good", "good-back"),
        ("warn", "paper"),
        ("warn", "warn-back"),
        ("bad", "paper"),
        ("bad", "bad-back"),
        ("ink", "glow"),
    ];
    let edges = [("edge", "paper"), ("edge", "card"), ("persimmon", "paper"), ("persimmon", "card")];
    for theme in [0, 1] {
        for (pairs, least) in [(&text[..], 4.5), (&edges[..], 3.0)] {
            for (front, back) in pairs {
                let ratio = contrast(colour(front, theme), colour(back, theme));
                assert!(ratio >= least, "theme {theme}: {front} on {back} has {ratio:.2}");
            }
        }
    }
}
