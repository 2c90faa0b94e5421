//! The words of the catalog: categories, wares and finishes.

use super::Category;

/// A kind of thing; a product is a ware in a finish.
#[derive(Debug)]
pub(super) struct Ware {
    pub(super) name: &'static str,
    /// What it usually costs, in whole currency units.
    pub(super) price: i64,
    pub(super) says: &'static str,
}

const fn ware(name: &'static str, price: i64, says: &'static str) -> Ware {
    Ware { name, price, says }
}

const fn category(id: &'static str, name: &'static str, blurb: &'static str) -> Category {
    Category { id, name, blurb }
}

pub(super) const CATEGORIES: &[Category] = &[
    category("table", "At the Table", "Plates, bowls and boards for meals that take their time."),
    category("tea-coffee", "Tea & Coffee", "For the first cup, and for the quiet one at four."),
    category("desk", "Desk & Paper", "Things that make a blank page look less blank."),
    category("light", "Light", "Lamps and candles for the hours when windows give up."),
    category("cloth", "Cloth", "Woven, washed and soft before you get them."),
    category("garden", "Garden", "For a meadow, a balcony, or one brave window sill."),
    category("carry", "Bags & Ways", "To carry a day's things there and back again."),
    category("play", "Slow Hours", "For rainy afternoons and people of any age."),
];

pub(super) const COLLECTORS_CATEGORY: &str = "light";

pub(super) fn wares(category: &str) -> &'static [Ware] {
    match category {
        "table" => TABLE,
        "tea-coffee" => TEA_COFFEE,
        "desk" => DESK,
        "light" => LIGHT,
        "cloth" => CLOTH,
        "garden" => GARDEN,
        "carry" => CARRY,
        "play" => PLAY,
        _ => &[],
    }
}

/// Name and sentence; always more than a category has wares, so no two wares of one shelf look alike.
pub(super) fn finishes(category: &str) -> &'static [(&'static str, &'static str)] {
    match category {
        "table" | "tea-coffee" => GLAZES,
        "desk" | "play" => WOODS,
        "light" | "garden" => METALS,
        "cloth" => WEAVES,
        _ => CANVAS,
    }
}

const TABLE: &[Ware] = &[
    ware("Mug", 68, "Holds a generous cup and keeps both hands warm."),
    ware("Bowl", 86, "Deep enough for noodles, wide enough for company."),
    ware("Plate", 74, "A calm, flat round with a rim that stops the sauce."),
    ware("Vase", 158, "Takes one branch from the walk home and makes it an event."),
    ware("Jug", 132, "Pours to the last drop without a dribble."),
    ware("Cake Stand", 118, "A foot, a flat top, and a reason to bake."),
    ware("Salt Jar", 62, "A lid that sits close, and room for a pinching hand."),
];

const TEA_COFFEE: &[Ware] = &[
    ware("Teapot", 198, "Four cups, a lid that stays on, and a spout that behaves."),
    ware("Kettle", 268, "A slim neck for a slow and steady pour."),
    ware("Tea Tin", 48, "Two lids, so that the leaves stay dry in any kitchen."),
    ware("Dripper", 112, "A cone and a jug for one honest filter coffee."),
    ware("Grinder", 328, "Thirty turns for one cup, and the kitchen smells right."),
    ware("Teacup", 58, "Thin at the lip, steady at the foot."),
    ware("Cold Brew Bottle", 96, "Fill it at night and forget it until noon."),
];

const DESK: &[Ware] = &[
    ware("Notebook", 42, "Lies flat, takes ink, and has a ribbon for your place."),
    ware("Pencil Set", 36, "Five grades from a whisper to a statement."),
    ware("Inkwell", 78, "Low, heavy and hard to tip over."),
    ware("Perpetual Calendar", 148, "Good for any year that has months."),
    ware("Pen Pot", 54, "Keeps the three pens you use apart from the nine you keep."),
    ware("Sketchbook", 66, "Toothy paper, stitched by hand, with a hard cover."),
    ware("Letter Tray", 128, "Gives the post a place until you have the courage."),
];

const LIGHT: &[Ware] = &[
    ware("Desk Lamp", 298, "Bends where you look and stays where you leave it."),
    ware("Lantern", 176, "For the garden table, and for power cuts."),
    ware("Pillar Candle", 48, "Burns for sixty hours and smells of nothing at all."),
    ware("Pendant", 356, "Hangs low and makes any table a place to stay."),
    ware("Floor Lamp", 438, "A reading light with good posture."),
    ware("Night Light", 92, "Just enough to find the stairs."),
    ware("Candlestick", 84, "Weighted at the foot, easy to carry to bed."),
];

const CLOTH: &[Ware] = &[
    ware("Blanket", 318, "Big enough to share, soft enough not to."),
    ware("Cushion", 108, "Filled with wool that springs back every morning."),
    ware("Bath Towel", 88, "Drinks a whole shower and dries by noon."),
    ware("Rug", 428, "Flat woven, so that doors and toes pass freely."),
    ware("Apron", 98, "Long straps, one deep pocket, no bow to lose."),
    ware("Scarf", 138, "Two metres of not being cold."),
    ware("Pillowcase", 72, "Cool on both sides, as it should be."),
];

const GARDEN: &[Ware] = &[
    ware("Planter", 126, "A wide home for one plant that means to stay."),
    ware("Watering Can", 164, "Balances full, and rains finely."),
    ware("Trowel", 58, "A blade that keeps its edge in clay."),
    ware("Seed Box", 46, "Twelve kinds of meadow, sorted by month."),
    ware("Birdhouse", 142, "The right door for tits, and the wrong one for cats."),
    ware("Herb Pot", 52, "Basil, thyme, or whatever survives you."),
    ware("Terrarium", 236, "A small weather of its own, under glass."),
];

const CARRY: &[Ware] = &[
    ware("Tote", 78, "Carries the market, and folds to nothing."),
    ware("Backpack", 368, "Fits a laptop, a lunch and a jumper, in this order."),
    ware("Umbrella", 156, "Eight ribs that have met real wind."),
    ware("Flask", 118, "Hot for twelve hours, cold for a day."),
    ware("Pouch", 56, "For cables, coins and other small trouble."),
    ware("Satchel", 398, "Closes with one hand and ages well."),
    ware("Suitcase", 458, "Small enough for the train, firm enough to sit on."),
];

const PLAY: &[Ware] = &[
    ware("Radio", 348, "One dial, one speaker, and the whole evening."),
    ware("Alarm Clock", 128, "Rings once, kindly, and means it."),
    ware("Kite", 88, "Flies in the wind that you have."),
    ware("Building Blocks", 112, "Forty pieces, no instructions."),
    ware("Chess Set", 288, "Turned pieces with felt feet, and a board to fold."),
    ware("Spinning Top", 34, "Stands for two minutes if the table is level."),
    ware("Music Box", 168, "Plays one tune, and you will not mind."),
];

const GLAZES: &[(&str, &str)] = &[
    ("Speckled", "Speckled like an egg found in the hedge."),
    ("Celadon", "Glazed in the green of shallow water."),
    ("Ash Glaze", "Every piece comes from the kiln a little different."),
    ("Cobalt", "A blue that gets deeper where it runs."),
    ("Oatmeal", "The colour of breakfast, matt to the touch."),
    ("Persimmon", "A warm orange that improves grey mornings."),
    ("Slate", "Dark, quiet, and kind to fingerprints."),
    ("Milk White", "White with a drop of cream in it."),
    ("Two-Tone", "Dipped once, by hand, so that no line is straight."),
];

const WOODS: &[(&str, &str)] = &[
    ("Walnut", "Oiled walnut that darkens with use."),
    ("Beech", "Pale beech, sanded until it feels like soap."),
    ("Cherry", "Cherry wood that blushes in the sun."),
    ("Indigo", "Dyed in indigo, three dips deep."),
    ("Lacquered", "Nine thin coats, polished in between."),
    ("Marbled", "Marbled by hand, so that yours is the only one."),
    ("Cork", "Warm, light, and grown on the tree that keeps growing."),
    ("Moss Green", "Painted in a green that goes with everything old."),
    ("Saffron", "A yellow that can be found on any crowded shelf."),
];

const METALS: &[(&str, &str)] = &[
    ("Brass", "Solid brass that takes on the marks of the house."),
    ("Copper", "Copper outside, and a promise of verdigris."),
    ("Verdigris", "Already has the green that others wait for."),
    ("Enamel", "Enamelled steel with one thin, dark rim."),
    ("Blackened", "Blackened steel, waxed, never painted."),
    ("Pewter", "Soft grey that never asks to be polished."),
    ("Terracotta", "In the red of flower pots and old roofs."),
    ("Harbour Blue", "Painted in the blue of working boats."),
    ("Chalk", "Chalk white, a little rough, easy to clean."),
];

const WEAVES: &[(&str, &str)] = &[
    ("Linen", "Washed linen that needs no ironing, only nerve."),
    ("Herringbone", "A herringbone you only see from close by."),
    ("Undyed", "The colours that the sheep had."),
    ("Striped", "Stripes as wide as a finger, woven and not printed."),
    ("Heather", "Spun from seven colours that agree."),
    ("Madder", "Dyed with madder root to a soft brick red."),
    ("Pine", "A green for people who say they wear no colour."),
    ("Fog", "Grey with a little morning in it."),
    ("Oatmeal", "The colour of breakfast, and as comforting."),
];

const CANVAS: &[(&str, &str)] = &[
    ("Waxed", "Waxed cotton that lets the rain change its mind."),
    ("Striped", "Stripes as wide as a finger, woven and not printed."),
    ("Heather", "In seven colours that agree."),
    ("Madder", "A soft brick red that hides a day's travel."),
    ("Pine", "A green for people who say they wear no colour."),
    ("Fog", "Grey with a little morning in it."),
    ("Indigo", "Dyed in indigo, three dips deep."),
    ("Saffron", "A yellow that can be found in any left-luggage office."),
    ("Harbour Blue", "In the blue of working boats."),
];
