//! A still life per SKU: a wall, a table, a sun, and the ware in its colours.

use super::forms::{FORMS, Form};
use super::random::Random;

/// The colours of one picture: wall, table, sun, ware, its darker part, its accent.
struct Palette {
    wall: &'static str,
    table: &'static str,
    sun: &'static str,
    ware: &'static str,
    dark: &'static str,
    accent: &'static str,
}

/// Draws the picture of a SKU as a square SVG document.
///
/// The same SKU always gives the same picture. Any text is accepted: an unknown one gets the picture of some ware, and no
/// byte of it ends up in the document.
#[must_use]
pub fn picture(sku: &str) -> String {
    let mut random = Random::of(sku);
    let palette = random.pick(PALETTES).unwrap_or(&PALETTES[0]);
    let background = background(&mut random);
    let finish = random.pick(FINISHES).copied().unwrap_or_default();
    let form = form(sku, &mut random);
    let drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 400 400\" width=\"400\" height=\"400\">\
         <defs><clipPath id=\"ware\">{shape}</clipPath></defs>\
         <rect width=\"400\" height=\"400\" fill=\"@wall\"/>{background}\
         <rect y=\"298\" width=\"400\" height=\"102\" fill=\"@table\"/>\
         <ellipse cx=\"212\" cy=\"320\" rx=\"112\" ry=\"11\" opacity=\".16\"/>\
         {under}<g fill=\"@ware\">{shape}</g><g clip-path=\"url(#ware)\">{finish}\
         <path d=\"M236 0h164v400H212z\" opacity=\".1\"/></g>{over}</svg>\n",
        shape = form.shape,
        under = form.under,
        over = form.over,
    );
    palette.paint(&drawing)
}

impl Palette {
    fn paint(&self, drawing: &str) -> String {
        drawing
            .replace("@wall", self.wall)
            .replace("@table", self.table)
            .replace("@sun", self.sun)
            .replace("@ware", self.ware)
            .replace("@dark", self.dark)
            .replace("@accent", self.accent)
    }
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

/// What covers the ware, inside its outline.
const FINISHES: &[&str] = &[
    "",
    "<path d=\"M0 246c70-18 120 16 200 0s140-14 200 4v150H0z\" fill=\"@dark\" opacity=\".55\"/>",
    "<g fill=\"@dark\" opacity=\".4\"><path d=\"M0 150h400v9H0zM0 186h400v9H0zM0 222h400v9H0zM0 258h400v9H0zM0 294h400v9H0z\"/></g>",
    "<g fill=\"@dark\" opacity=\".55\"><circle cx=\"142\" cy=\"246\" r=\"4\"/><circle cx=\"168\" cy=\"282\" r=\"3\"/><circle cx=\"190\" cy=\"232\" r=\"5\"/>\
     <circle cx=\"214\" cy=\"270\" r=\"3\"/><circle cx=\"236\" cy=\"240\" r=\"4\"/><circle cx=\"252\" cy=\"288\" r=\"5\"/><circle cx=\"158\" cy=\"206\" r=\"3\"/>\
     <circle cx=\"206\" cy=\"188\" r=\"4\"/><circle cx=\"244\" cy=\"200\" r=\"3\"/><circle cx=\"182\" cy=\"302\" r=\"4\"/><circle cx=\"224\" cy=\"304\" r=\"3\"/>\
     <circle cx=\"184\" cy=\"152\" r=\"4\"/><circle cx=\"222\" cy=\"140\" r=\"3\"/><circle cx=\"272\" cy=\"262\" r=\"4\"/><circle cx=\"124\" cy=\"276\" r=\"4\"/></g>",
    "<path d=\"M0 0h400v184c-80 22-130-14-200 2S70 206 0 188z\" fill=\"@accent\" opacity=\".55\"/>",
    "<path d=\"M0 236h400v28H0z\" fill=\"@accent\" opacity=\".75\"/><path d=\"M0 270h400v6H0z\" fill=\"@dark\" opacity=\".5\"/>",
];

const fn palette(colours: [&'static str; 6]) -> Palette {
    let [wall, table, sun, ware, dark, accent] = colours;
    Palette { wall, table, sun, ware, dark, accent }
}

const PALETTES: &[Palette] = &[
    palette(["#d9e4e1", "#b9cbc5", "#f1d9a0", "#2f6f73", "#1c4347", "#e2803f"]),
    palette(["#efe3d6", "#d8c3ac", "#f7c8a5", "#b4533a", "#6d2c22", "#f2ead9"]),
    palette(["#dfe3ee", "#bcc4d8", "#f4e3b8", "#3d5288", "#232f55", "#f0b23e"]),
    palette(["#e6ead4", "#c6cda5", "#f6efc9", "#5f7a3c", "#36481f", "#d96c47"]),
    palette(["#f2dcd6", "#dcb8b0", "#f9ede0", "#8c4a63", "#552a3d", "#e6b85c"]),
    palette(["#20343f", "#142630", "#35525f", "#e6b35a", "#96682a", "#f3ece0"]),
    palette(["#d6e2ea", "#a9c0ce", "#f7f1e3", "#e9ded0", "#8a7a68", "#3f6e8c"]),
    palette(["#f3e6c4", "#dcc78f", "#fbf5e3", "#4b4a57", "#2b2a34", "#d4583b"]),
    palette(["#3b3350", "#2a2440", "#5a4a70", "#c9d6c4", "#6f8a7c", "#ef9a72"]),
    palette(["#cfe0d4", "#9fbfae", "#eaf2dc", "#d97a54", "#8f4429", "#2f5d50"]),
];
