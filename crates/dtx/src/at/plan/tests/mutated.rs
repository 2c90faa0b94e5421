//! Statements with something wrong in them.

use testkit::Rng;

use super::*;
use crate::at::mutate::{mutated, tries};

#[test]
fn no_text_makes_the_planner_panic_or_answer_more_than_it_was_given() {
    let mut rng = Rng::new(testkit::seed());
    let (tries, mut planned) = (tries(), 0);
    for _ in 0..tries / 2 {
        let [text, other] = [(); 2].map(|()| rng.pick(&statements::STATEMENTS).0.as_bytes());
        let Ok(text) = String::from_utf8(mutated(&mut rng, text, other)) else { continue };
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let Ok(plan) = plan(dialect, &text) else { continue };
            planned += 1;
            if let Action::Write(write) = plan.action {
                let parts = [&write.with, &write.assignments, &write.from, &write.filter, &write.body];
                // A placeholder gets its number, and a star the name of the row.
                assert!(parts.into_iter().all(|part| part.len() <= 8 * text.len() + 16), "{text}");
                assert!(write.arguments <= 65_535 || dialect == Dialect::Sqlite, "{text}");
            }
        }
    }
    println!("{tries} damaged texts on either database, {planned} plans");
    assert!(planned > tries / 100, "too many are refused to say anything");
}
