//! A failing case made small: every part is left out for as long as the case still fails without it.

use testkit::Rng;

use crate::random;
use crate::script::Case;

/// The case with nothing in it that could be left out, or as far as that many tries lead.
pub(crate) async fn shrunk(mut case: Case, mut tries: usize, mut fails: impl AsyncFnMut(&Case) -> bool) -> Case {
    let (mut at, mut smaller) = (0, false);
    while tries > 0 {
        match case.without(at) {
            Some(less) => {
                tries -= 1;
                if fails(&less).await {
                    (case, smaller) = (less, true);
                } else {
                    at += 1;
                }
            }
            // What mattered before may not matter without the rest.
            None if smaller => (at, smaller) = (0, false),
            None => break,
        }
    }
    case
}

fn updates(case: &Case) -> bool {
    case.branch.iter().any(|statement| statement.to_string().starts_with("update"))
}

/// A case with many statements, one of them an UPDATE.
fn large() -> Case {
    let mut rng = Rng::new(testkit::seed());
    loop {
        let case = random::case(&mut rng);
        if case.branch.len() > 3 && updates(&case) {
            return case;
        }
    }
}

#[tokio::test]
async fn only_what_makes_a_case_fail_is_left_of_it() {
    let case = large();
    let small = shrunk(case, usize::MAX, async |case| updates(case)).await;
    let Case { place, capturing, undoing, tables, rows, branch } = &small;
    assert!([place, capturing, undoing, tables, rows].into_iter().all(Vec::is_empty), "{small}");
    assert_eq!(branch.len(), 1, "one statement is enough: {small}");
    let mut less = (0..).map_while(|at| small.without(at));
    assert!(less.all(|less| !updates(&less)), "something can be left out of {small}");
}

#[tokio::test]
async fn a_column_goes_from_everywhere_or_stays() {
    let case = large();
    let long = case.to_string();
    // The first column of each table is a key, which a table cannot do without.
    let inserts = async |case: &Case| {
        let text = case.to_string();
        text.contains("create table") && case.rows.iter().any(|row| row.to_string().starts_with("insert"))
    };
    let small = shrunk(case, usize::MAX, inserts).await;
    assert_eq!((small.tables.len(), small.rows.len(), small.branch.len()), (1, 1, 0), "{small}");
    assert!(small.to_string().len() < long.len() / 4, "{small}");
}

#[tokio::test]
async fn it_gives_up_after_so_many_tries() {
    let mut tried = 0;
    let case = large();
    let text = case.to_string();
    let never = async |_: &Case| {
        tried += 1;
        false
    };
    assert_eq!(shrunk(case, 7, never).await.to_string(), text);
    assert_eq!(tried, 7);
}
