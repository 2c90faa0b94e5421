//! The page for everything that did not work.

use askama::Template;

use super::Chrome;

/// A way on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub href: String,
    /// What it says.
    pub label: String,
}

/// What happened and what to do about it.
#[derive(Debug, Clone, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// The HTTP status.
    pub status: u16,
    /// A few words.
    pub title: String,
    /// What happened.
    pub happened: String,
    /// What to do.
    pub advice: String,
    /// The way on; the way home is always there.
    pub link: Link,
}

impl ErrorPage {
    /// The page of a status, in words that fit it. Whoever knows more says so with the methods below.
    #[must_use]
    pub fn new(chrome: Chrome, status: u16) -> Self {
        let text = text(status);
        let back = if text.link.0.is_empty() { chrome.return_to().to_owned() } else { text.link.0.to_owned() };
        Self {
            chrome,
            status,
            title: text.title.to_owned(),
            happened: text.happened.to_owned(),
            advice: text.advice.to_owned(),
            link: Link { href: back, label: text.link.1.to_owned() },
        }
    }

    /// Says what happened.
    #[must_use]
    pub fn with_happened(mut self, happened: impl Into<String>) -> Self {
        self.happened = happened.into();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Offers another way on.
    #[must_use]
    pub fn with_link(mut self, href: impl Into<String>, label: impl Into<String>) -> Self {
        self.link = Link { href: href.into(), label: label.into() };
        self
    }
}

struct Text {
    title: &'static str,
    happened: &'static str,
    advice: &'static str,
    link: (&'static str, &'static str),
}

const fn say(
    title: &'static str,
    happened: &'static str,
    advice: &'static str,
    link: (&'static str, &'static str),
) -> Text {
    Text { title, happened, advice, link }
}

/// An empty address means the page that failed.
fn text(status: u16) -> Text {
    match status {
        401 => say(
            "Please sign in",
            "This page belongs to somebody, and the shop does not know yet that it is you.",
            "Sign in and you will come back here. Your cart comes along.",
            ("/login", "Sign in"),
        ),
        403 => say(
            "This form is out of date",
            "The form was made for another session: you signed in or out meanwhile, or the browser lost its cookie.",
            "Open the page again and send the form once more. Nothing was changed.",
            ("/cart", "Open the cart"),
        ),
        404 => say(
            "Not on any shelf",
            "There is nothing at this address. It may be mistyped, or it belongs to somebody else.",
            "Look through the shop or search for it by name.",
            ("/", "Look through the shop"),
        ),
        405 => say(
            "Not that way",
            "This address exists, but it cannot be used like this.",
            "Use the links and buttons of the shop. Nothing was changed.",
            ("/", "Back to the shop"),
        ),
        409 => say(
            "Something has changed",
            "What you sent no longer fits what the shop has now.",
            "Look at your cart again and go on from there. This attempt cost you nothing.",
            ("/cart", "Look at the cart"),
        ),
        410 => say(
            "This page has expired",
            "It waited too long to be sent. Nothing was ordered and nothing was paid.",
            "Open the checkout again: it shows today's prices and takes your order.",
            ("/checkout", "Open the checkout again"),
        ),
        413 => say(
            "Too much at once",
            "The shop accepts forms of up to 64 KiB, and this one was larger.",
            "Send less. Nothing was changed.",
            ("/", "Back to the shop"),
        ),
        415 => say(
            "The shop cannot read this",
            "It reads plain forms, and this was something else.",
            "Use the forms of the shop. Nothing was changed.",
            ("/", "Back to the shop"),
        ),
        422 => say(
            "One entry does not work",
            "A quantity is a whole number from 0 to 999, and a cart holds up to 200 lines.",
            "Go back, correct the entry and send it again. Nothing was changed.",
            ("/cart", "Back to the cart"),
        ),
        429 => say(
            "A little slower, please",
            "Too many requests came from here in a short time.",
            "Wait a minute and try again.",
            ("", "Try again"),
        ),
        503 => say(
            "One moment, please",
            "The shop is starting, closing, or waiting for one of its stores.",
            "Try again in a few seconds. If you were ordering, send the same page again: it orders once at most.",
            ("", "Try again"),
        ),
        400..=499 => say(
            "That did not work",
            "The shop did not understand what it was asked.",
            "Start again from the shop. Nothing was changed.",
            ("/", "Back to the shop"),
        ),
        _ => say(
            "Our fault",
            "Something in the shop broke. It has been written down for us to see.",
            "Try again. If you were ordering, look at your orders first: an order is there once or not at all.",
            ("/orders", "Look at your orders"),
        ),
    }
}
