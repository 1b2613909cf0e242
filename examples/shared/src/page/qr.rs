//! The token as a QR code: an inline drawing, made here, so that no other site sees the token.

use maud::{Markup, html};
use qrcode::{Color, QrCode};

/// Free modules around the code.
const MARGIN: usize = 4;

/// Draws a text, black on white. Draws nothing if it doesn't fit into a code.
pub(super) fn draw(text: &str, name: &str) -> Markup {
    let Ok(code) = QrCode::new(text) else {
        return html! {};
    };
    let width = code.width();
    let mut path = String::new();
    for (row, modules) in code.to_colors().chunks(width).enumerate() {
        let mut at = 0;
        // Neighbours are one rectangle, which keeps the page short.
        for run in modules.chunk_by(|one, next| one == next) {
            if run[0] == Color::Dark {
                let (x, y, length) = (at + MARGIN, row + MARGIN, run.len());
                path += &format!("M{x} {y}h{length}v1h-{length}z");
            }
            at += run.len();
        }
    }
    let size = width + 2 * MARGIN;
    html! {
        svg.qr viewBox={ "0 0 " (size) " " (size) } width=(4 * size) height=(4 * size) role="img"
            aria-label=(name)
        {
            rect width=(size) height=(size) fill="#fff" {}
            path d=(path) fill="#000" shape-rendering="crispEdges" {}
        }
    }
}
