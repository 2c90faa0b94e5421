//! The colours that pictures are painted with: a coat per finish, and the rooms that the wares stand in.

/// How light a coat is: a light ware stands in a dark room and a dark one in a light room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Dark,
    Middle,
    Light,
}

/// How a finish looks.
#[derive(Debug)]
pub(super) struct Coat {
    /// What the SKUs of this finish start with.
    pub(super) finish: &'static str,
    pub(super) ware: &'static str,
    pub(super) dark: &'static str,
    pub(super) accent: &'static str,
    /// What covers the ware inside its outline.
    pub(super) pattern: &'static str,
    pub(super) tone: Tone,
}

/// The colours around a ware.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) wall: &'static str,
    pub(super) table: &'static str,
    pub(super) sun: &'static str,
}

impl Tone {
    /// The rooms in which a ware of this tone stands out.
    pub(super) fn rooms(self) -> &'static [Room] {
        match self {
            Self::Dark => ROOMS.split_at(LIGHT_ROOMS).0,
            Self::Light => ROOMS.split_at(LIGHT_ROOMS).1,
            Self::Middle => ROOMS,
        }
    }
}

const fn coat(
    finish: &'static str,
    [ware, dark, accent]: [&'static str; 3],
    pattern: &'static str,
    tone: Tone,
) -> Coat {
    Coat { finish, ware, dark, accent, pattern, tone }
}

const fn room(wall: &'static str, table: &'static str, sun: &'static str) -> Room {
    Room { wall, table, sun }
}

/// The first ones are light.
const LIGHT_ROOMS: usize = 8;
const ROOMS: &[Room] = &[
    room("#d9e4e1", "#b9cbc5", "#f1d9a0"),
    room("#efe3d6", "#d8c3ac", "#f7cdb0"),
    room("#dfe3ee", "#bcc4d8", "#f4e3b8"),
    room("#e6ead4", "#c6cda5", "#f6efc9"),
    room("#f2dcd6", "#dcb8b0", "#f9ede0"),
    room("#f3e6c4", "#dcc78f", "#fbf5e3"),
    room("#d6e2ea", "#a9c0ce", "#f7f1e3"),
    room("#cfe0d4", "#9fbfae", "#eaf2dc"),
    room("#20343f", "#142630", "#35525f"),
    room("#3b3350", "#2a2440", "#5a4a70"),
    room("#2c4a46", "#1c3230", "#47706a"),
    room("#5b3140", "#3f2130", "#80495a"),
    room("#2f3d5c", "#202b44", "#4a5c85"),
];

const PLAIN: &str = "";
const DIP: &str = r##"<path d="M0 246c70-18 120 16 200 0s140-14 200 4v150H0z" fill="@dark" opacity=".6"/>"##;
const STRIPES: &str = r##"<path d="M0 120h400v10H0zM0 150h400v10H0zM0 180h400v10H0zM0 210h400v10H0zM0 240h400v10H0zM0 270h400v10H0zM0 300h400v10H0z" fill="@dark" opacity=".5"/>"##;
const GLAZE: &str = r##"<path d="M0 0h400v194c-80 22-130-14-200 2S70 216 0 198z" fill="@accent" opacity=".5"/>"##;
const BAND: &str = r##"<path d="M0 232h400v28H0z" fill="@accent" opacity=".8"/><path d="M0 267h400v6H0z" fill="@dark" opacity=".5"/>"##;
const SPECKLE: &str = r##"<g fill="@dark" opacity=".6"><circle cx="142" cy="246" r="4"/><circle cx="168" cy="282" r="3"/><circle cx="190" cy="232" r="5"/><circle cx="214" cy="270" r="3"/><circle cx="236" cy="240" r="4"/><circle cx="252" cy="288" r="5"/><circle cx="158" cy="206" r="3"/><circle cx="206" cy="188" r="4"/><circle cx="244" cy="200" r="3"/><circle cx="182" cy="302" r="4"/><circle cx="224" cy="304" r="3"/><circle cx="184" cy="152" r="4"/><circle cx="222" cy="140" r="3"/><circle cx="272" cy="262" r="4"/><circle cx="124" cy="276" r="4"/></g>"##;

pub(super) const COATS: &[Coat] = &[
    coat("speckled", ["#e6dccb", "#8a6f55", "#b4533a"], SPECKLE, Tone::Light),
    coat("celadon", ["#a9cdb8", "#5f8f7d", "#f2ead9"], GLAZE, Tone::Light),
    coat("ash-glaze", ["#b8ab97", "#6f6250", "#e9ded0"], GLAZE, Tone::Middle),
    coat("cobalt", ["#2b4a9a", "#182c63", "#f0e6d0"], DIP, Tone::Dark),
    coat("oatmeal", ["#dcc8a4", "#9a7f55", "#5f7a6c"], BAND, Tone::Light),
    coat("persimmon", ["#dd6f35", "#8f3d17", "#f4dfb4"], PLAIN, Tone::Dark),
    coat("slate", ["#4c5660", "#2c343b", "#c9d2d6"], PLAIN, Tone::Dark),
    coat("milk-white", ["#f6f1e4", "#a99f8a", "#3f6e8c"], PLAIN, Tone::Light),
    coat("two-tone", ["#c98b5e", "#5a3620", "#f2e4cf"], DIP, Tone::Middle),
    coat("walnut", ["#6b4630", "#432a1c", "#d9a15f"], STRIPES, Tone::Dark),
    coat("beech", ["#dcb98a", "#a37d4c", "#b4533a"], PLAIN, Tone::Light),
    coat("cherry", ["#a5512f", "#6c3019", "#efc79a"], PLAIN, Tone::Dark),
    coat("indigo", ["#35427f", "#212a54", "#e9c46a"], DIP, Tone::Dark),
    coat("lacquered", ["#9c1f1f", "#5f1010", "#f0b23e"], PLAIN, Tone::Dark),
    coat("marbled", ["#7ea0a8", "#466a74", "#f3ece0"], GLAZE, Tone::Middle),
    coat("cork", ["#c99f6b", "#8b6437", "#4b6b57"], SPECKLE, Tone::Middle),
    coat("moss-green", ["#6a7d3c", "#43511f", "#e8c25a"], PLAIN, Tone::Dark),
    coat("saffron", ["#edb32f", "#a8700f", "#7c2f3a"], PLAIN, Tone::Middle),
    coat("brass", ["#d9a83f", "#94691b", "#f3e2b3"], PLAIN, Tone::Middle),
    coat("copper", ["#c8703f", "#83401d", "#5fa08c"], PLAIN, Tone::Dark),
    coat("verdigris", ["#6fae9c", "#3d7566", "#c8703f"], GLAZE, Tone::Middle),
    coat("enamel", ["#f3f0e6", "#2b3a67", "#b4431f"], PLAIN, Tone::Light),
    coat("blackened", ["#34373c", "#1b1d20", "#d9a83f"], PLAIN, Tone::Dark),
    coat("pewter", ["#9aa3a6", "#646d70", "#e2803f"], PLAIN, Tone::Middle),
    coat("terracotta", ["#c2613e", "#85391f", "#f2dfc4"], BAND, Tone::Dark),
    coat("harbour-blue", ["#2f6690", "#1b4160", "#f2c14e"], PLAIN, Tone::Dark),
    coat("chalk", ["#f1eee6", "#aaa394", "#6a8f7b"], PLAIN, Tone::Light),
    coat("linen", ["#ddd0b6", "#a08c66", "#6a7f92"], PLAIN, Tone::Light),
    coat("waxed", ["#7a6a34", "#4a3f1b", "#d9a15f"], PLAIN, Tone::Dark),
    coat("herringbone", ["#8a8577", "#575245", "#efe6d2"], STRIPES, Tone::Middle),
    coat("undyed", ["#e9dfcb", "#b09a74", "#8a6f55"], BAND, Tone::Light),
    coat("striped", ["#e8dfce", "#3f5b86", "#c8553d"], STRIPES, Tone::Light),
    coat("heather", ["#8c7aa0", "#594a6c", "#d8c3a0"], SPECKLE, Tone::Middle),
    coat("madder", ["#a8443a", "#6c2620", "#f0cdb0"], PLAIN, Tone::Dark),
    coat("pine", ["#2f5a45", "#1b392a", "#d9b15f"], PLAIN, Tone::Dark),
    coat("fog", ["#aab4b8", "#6e7a80", "#e0a458"], PLAIN, Tone::Light),
    coat("collector", ["#f6f1e4", "#33414a", "#c8442c"], PLAIN, Tone::Light),
];
