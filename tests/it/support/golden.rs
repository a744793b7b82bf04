//! Texts that are reviewed like code; `UPDATE_GOLDEN=1` rewrites them.

use std::path::PathBuf;

/// Compares with `tests/golden/<name>`.
#[track_caller]
#[allow(
    clippy::disallowed_methods,
    reason = "the switch that rewrites goldens"
)]
pub(crate) fn assert_golden(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} differs (UPDATE_GOLDEN=1 rewrites it):\n--- expected\n{expected}\n--- actual\n{actual}",
        path.display()
    );
}
