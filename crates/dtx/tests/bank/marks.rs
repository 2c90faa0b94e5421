//! The fail points that services are killed at.

/// The fail points of a transfer, in the order of its life.
pub const POINTS: [&str; 13] = [
    "dtx.begun",
    "dtx.before_undo",
    "dtx.before_register",
    "dtx.registered",
    "dtx.branch_committed",
    "dtx.before_decision",
    "dtx.decided",
    "dtx.rolling_back",
    "dtx.phase_two",
    "dtx.before_forget",
    "dtx.taken_back",
    "dtx.guarded",
    "dtx.before_settle",
];
/// Those of a branch whose registration was not answered.
pub const REPORTS: [&str; 2] = ["dtx.before_report", "dtx.reported"];
