//! The layers hold: imports point down, and pure modules do no I/O.

use std::collections::{BTreeMap, BTreeSet};
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
const PURE: [&str; 12] = [
    "mail",
    "rules",
    "session",
    "policy",
    "message",
    "forward/classify",
    "forward/activity_match",
    "forward/own_refusals",
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

/// Files that import each other in a circle, by module. Shrinks; nothing is added.
const CIRCLES_LEFT: [&str; 3] = ["forward", "simulator", "spool"];

#[test]
fn files_of_a_module_import_each_other_in_no_circle() {
    let sources = sources();
    let graph: BTreeMap<&Path, BTreeSet<PathBuf>> = sources
        .iter()
        .filter(|(path, _)| !path.ends_with("mod.rs"))
        .map(|(path, code)| (path.as_path(), files_used(path, code, &sources)))
        .collect();
    let reached = |from: &Path| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(file) = next.pop() {
            for used in graph.get(file.as_path()).into_iter().flatten() {
                if seen.insert(used.clone()) {
                    next.push(used.clone());
                }
            }
        }
        seen
    };
    let circular: Vec<&Path> = graph
        .keys()
        .copied()
        .filter(|file| reached(file).contains(*file))
        .collect();
    let left = |path: &Path| CIRCLES_LEFT.iter().any(|module| path.starts_with(module));
    let new: Vec<&&Path> = circular.iter().filter(|path| !left(path)).collect();
    assert!(new.is_empty(), "new circles: {new:?}");
    for module in CIRCLES_LEFT {
        let is_there = circular.iter().any(|path| path.starts_with(module));
        assert!(
            is_there,
            "{module} has no circle any more: take it off the list"
        );
    }
}

/// A `mod.rs` is a table of contents.
const MOD_LINES_MAX: usize = 120;

/// Those that are more. Shrinks; nothing is added.
const LONG_LEFT: [&str; 7] = [
    "admin",
    "cli/api",
    "session",
    "session/machine",
    "simulator",
    "simulator/desks",
    "spool/sqlite",
];

#[test]
fn mod_files_are_tables_of_contents() {
    let long: BTreeSet<String> = sources()
        .iter()
        .filter(|(path, code)| path.ends_with("mod.rs") && code.lines().count() > MOD_LINES_MAX)
        .filter_map(|(path, _)| Some(path.parent()?.display().to_string()))
        .collect();
    let left: BTreeSet<String> = LONG_LEFT.map(str::to_owned).into();
    assert_eq!(long, left);
}

/// Files of the same module that a file imports from; names that a `mod.rs` passes on are those of the file behind it.
fn files_used(path: &Path, code: &str, sources: &[(PathBuf, String)]) -> BTreeSet<PathBuf> {
    let place = module_path(path);
    let mut used = BTreeSet::new();
    for import in imports(code) {
        let mut words: Vec<&str> = import.split("::").collect();
        let mut base = match words.first() {
            Some(&"crate") => {
                words.remove(0);
                Vec::new()
            }
            Some(&"super") => {
                let mut base = place.clone();
                while words.first() == Some(&"super") {
                    words.remove(0);
                    base.pop();
                }
                base
            }
            _ => continue,
        };
        if let Some(file) = resolve(&mut base, &words, sources)
            && file != path
            && !file.ends_with("mod.rs")
            && file.components().next() == path.components().next()
        {
            used.insert(file);
        }
    }
    used
}

fn resolve(
    base: &mut Vec<String>,
    words: &[&str],
    sources: &[(PathBuf, String)],
) -> Option<PathBuf> {
    let find = |base: &[String]| {
        let stem: PathBuf = base.iter().collect();
        let candidates = [stem.with_extension("rs"), stem.join("mod.rs")];
        sources.iter().find(|(path, _)| candidates.contains(path))
    };
    for word in words {
        base.push((*word).to_owned());
        if find(base).is_some() {
            continue;
        }
        base.pop();
        let (path, code) = find(base)?;
        // A name of this module's own, or one that it passes on.
        for passed_on in imports(code) {
            let names: Vec<&str> = passed_on.split("::").collect();
            let is_it = names.len() > 1 && names.last() == Some(word);
            if is_it && !["crate", "super", "std"].contains(&names[0]) {
                return resolve(base, &names, sources);
            }
        }
        return Some(path.clone());
    }
    find(base).map(|(path, _)| path.clone())
}

/// The paths of all `use` items, one for each name.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for item in code.split("use ").skip(1) {
        let item = item.split(';').next().unwrap_or_default();
        let item: String = item.split_whitespace().collect::<Vec<_>>().join(" ");
        expand("", &item, &mut found);
    }
    found
}

fn expand(prefix: &str, item: &str, found: &mut Vec<String>) {
    let item = item.trim();
    if let Some((path, rest)) = item.split_once('{') {
        let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in inside.char_indices().chain([(inside.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&format!("{prefix}{path}"), &inside[start..at], found);
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else if !item.is_empty() {
        let name = item.split(" as ").next().unwrap_or(item).trim();
        found.push(format!("{prefix}{name}"));
    }
}

/// `spool/sqlite/disk.rs` is the module spool, sqlite, disk.
fn module_path(path: &Path) -> Vec<String> {
    let mut words: Vec<String> = path
        .with_extension("")
        .components()
        .map(|word| word.as_os_str().to_string_lossy().into_owned())
        .collect();
    if words.last().is_some_and(|word| word == "mod") {
        words.pop();
    }
    words
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
