//! A still life per SKU: a wall, a table, a sun, and the ware in its colours.

use super::coats::{COATS, Coat, Room};
use super::forms::{FORMS, Form};
use super::random::Random;

/// Draws the picture of a SKU as a square SVG document.
///
/// The same SKU always gives the same picture: its ware gives the form and its finish the colours. Any text is accepted:
/// an unknown one gets the picture of some ware, and no byte of it ends up in the document.
#[must_use]
pub fn picture(sku: &str) -> String {
    let mut random = Random::of(sku);
    let form = form(sku, &mut random);
    let coat = coat(sku, &mut random);
    let rooms = coat.tone.rooms();
    let room = random.pick(rooms).unwrap_or(&rooms[0]);
    let drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 400 400\" width=\"400\" height=\"400\">\
         <defs><clipPath id=\"ware\">{shape}</clipPath></defs>\
         <rect width=\"400\" height=\"400\" fill=\"@wall\"/>{background}\
         <rect y=\"298\" width=\"400\" height=\"102\" fill=\"@table\"/>\
         <ellipse cx=\"212\" cy=\"320\" rx=\"112\" ry=\"11\" opacity=\".16\"/>\
         {under}<g fill=\"@ware\">{shape}</g><g clip-path=\"url(#ware)\">{pattern}\
         <path d=\"M236 0h164v400H212z\" opacity=\".1\"/></g>{over}</svg>\n",
        background = background(&mut random),
        shape = form.shape,
        under = form.under,
        pattern = coat.pattern,
        over = form.over,
    );
    paint(&drawing, coat, room)
}

fn paint(drawing: &str, coat: &Coat, room: &Room) -> String {
    drawing
        .replace("@wall", room.wall)
        .replace("@table", room.table)
        .replace("@sun", room.sun)
        .replace("@ware", coat.ware)
        .replace("@dark", coat.dark)
        .replace("@accent", coat.accent)
}

fn coat(sku: &str, random: &mut Random) -> &'static Coat {
    let wears = |coat: &&Coat| sku.strip_prefix(coat.finish).is_some_and(|rest| rest.starts_with('-'));
    COATS.iter().find(wears).or_else(|| random.pick(COATS)).unwrap_or(&COATS[0])
}

fn form(sku: &str, random: &mut Random) -> &'static Form {
    let known = FORMS.iter().find(|form| form.wares.iter().any(|ware| sku.contains(ware)));
    known.or_else(|| random.pick(FORMS)).unwrap_or(&FORMS[0])
}

fn background(random: &mut Random) -> String {
    let x = random.between(90, 310);
    let y = random.between(100, 190);
    match random.below(4) {
        0 => format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"84\" fill=\"@sun\"/>"),
        1 => format!("<path d=\"M{} 298V{y}a82 82 0 0 1 164 0v{}z\" fill=\"@sun\"/>", x - 82, 298 - y),
        2 => format!(
            "<g fill=\"@sun\"><rect x=\"{0}\" y=\"44\" width=\"66\" height=\"92\"/><rect x=\"{1}\" y=\"44\" width=\"66\" height=\"92\"/>\
             <rect x=\"{0}\" y=\"144\" width=\"66\" height=\"92\"/><rect x=\"{1}\" y=\"144\" width=\"66\" height=\"92\"/></g>",
            x - 70,
            x + 4
        ),
        _ => format!("<path d=\"M0 298V{}c90-70 150 40 230-6s120-40 170-10v{}z\" fill=\"@sun\"/>", y + 30, 284 - y),
    }
}
