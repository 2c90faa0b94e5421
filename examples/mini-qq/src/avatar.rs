//! Pictures of the people: an initial on a colour.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::User;
use crate::server::Server;

/// `GET /avatar/{openid}.svg`
pub(crate) async fn avatar(State(server): State<Server>, Path(file): Path<String>) -> Response {
    let server = server.inner();
    let found = file.strip_suffix(".svg").and_then(|openid| {
        let clients: Vec<String> = server.clients(|clients| clients.keys().cloned().collect());
        let is = |user: &&User| clients.iter().any(|client| server.key.openid(client, &user.name) == openid);
        server.users.iter().find(is)
    });
    match found {
        Some(user) => {
            let headers = [
                (header::CONTENT_TYPE, "image/svg+xml"),
                (header::CACHE_CONTROL, "public, max-age=86400"),
                (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, picture(user)).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn picture(user: &User) -> String {
    let hue = hue(&user.name);
    let initial: String =
        user.nickname.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 100 100\" role=\"img\" aria-label=\"{initial}\">\
         <rect width=\"100\" height=\"100\" fill=\"hsl({hue},45%,42%)\"/>\
         <text x=\"50\" y=\"50\" dy=\".36em\" text-anchor=\"middle\" font-family=\"system-ui,sans-serif\" \
         font-size=\"52\" font-weight=\"600\" fill=\"#fff\">{initial}</text></svg>"
    )
}

/// A colour that stays with the name.
pub(crate) fn hue(name: &str) -> u32 {
    name.bytes().fold(17_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 360
}
