//! The layers hold: imports point down, and pure modules do no I/O.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the top; a module may use the modules of lower layers only.
const LAYERS: [&[&str]; 7] = [
    &["cli"],
    &["app"],
    &["listen", "admin", "simulator"],
    &["intake", "forward", "sync"],
    &["session", "auth", "policy", "message", "provider", "spool"],
    &["config", "journal", "http"],
    &["mail", "rules", "clock", "resilience", "telemetry"],
];

/// Modules and files without I/O.
const PURE: [&str; 11] = [
    "mail",
    "rules",
    "session",
    "policy",
    "message",
    "forward/classify",
    "forward/activity_match",
    "resilience",
    "sync/reading",
    "sync/shrink",
    "sync/snapshot",
];

/// Names that a pure module must not contain.
const IMPURE: [&str; 9] = [
    "Instant::now",
    "SystemTime",
    "tokio::",
    "std::fs",
    "std::net::Tcp",
    "std::thread",
    "std::env",
    "reqwest",
    "Clock",
];

#[test]
fn imports_point_down_the_layers() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let Some(module) = module_of(&path) else {
            continue;
        };
        let own = layer(&module).unwrap_or_else(|| panic!("{module} is on no layer"));
        for used in modules_used(&code) {
            let sideways_or_up = used != module && layer(&used).is_none_or(|layer| layer <= own);
            // Modules of layer 0 may use each other.
            let lowest = own == LAYERS.len() - 1 && layer(&used) == Some(own);
            if sideways_or_up && !lowest {
                wrong.push(format!("{}: {module} must not use {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_no_clock_socket_file_or_runtime() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let name = path.with_extension("").display().to_string();
        if !PURE
            .iter()
            .any(|pure| name == *pure || name.starts_with(&format!("{pure}/")))
        {
            continue;
        }
        for impure in IMPURE {
            if code.contains(impure) {
                wrong.push(format!("{}: {impure}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_one_file_knows_mail_parser_and_only_the_spool_knows_sqlite() {
    for (path, code) in sources() {
        let name = path.display().to_string();
        assert!(
            !code.contains("mail_parser") || name == "message/addresses.rs",
            "{name}"
        );
        assert!(
            !code.contains("rusqlite") || name.starts_with("spool/"),
            "{name}"
        );
    }
}

/// Every source file below src, relative to it, without comments and tests.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let code: Vec<&str> = code
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect();
                found.push((
                    path.strip_prefix(&root).unwrap().to_owned(),
                    code.join("\n"),
                ));
            }
        }
    }
    assert!(found.len() > 40, "the sources were not found");
    found
}

/// `spool/sqlite.rs` belongs to `spool`, `clock.rs` to `clock`; main.rs and lib.rs to nobody.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().next()?.as_os_str().to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "main" | "lib")).then(|| module.to_owned())
}

fn modules_used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for after in code.split("crate::").skip(1) {
        let word = |text: &str| {
            text.chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                .collect::<String>()
        };
        assert!(
            !after.starts_with('{'),
            "write one `use crate::module` a module"
        );
        used.push(word(after));
    }
    used
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}
