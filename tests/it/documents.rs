//! Citations lead somewhere: what a comment, a test or a setting cites is in `docs/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Documents that are cited by section, as in `device-quirks 3.1`.
const CITED: [&str; 3] = ["device-quirks", "provider-api", "measurements"];

/// Documents that are no longer there, or never were in the repository.
const GONE: [&str; 4] = ["NOTES section", "ADDENDUM", "evidence.md", "webhooks.md"];

#[test]
fn every_cited_section_exists() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for document in CITED {
        let sections = sections_of(document);
        for (path, text) in texts() {
            for (line, cited) in citations(&text, document) {
                seen += 1;
                if !sections.contains(&cited) {
                    wrong.push(format!("{}:{line}: {document} {cited}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 80, "only {seen} citations were found");
}

#[test]
fn nothing_cites_a_document_that_is_not_there() {
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        let gone = GONE.iter().filter(|name| text.contains(*name));
        wrong.extend(gone.map(|name| format!("{}: {name}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_between_documents_leads_to_a_file() {
    let root = root();
    let mut wrong = Vec::new();
    let documents = fs::read_dir(root.join("docs")).unwrap();
    let mut documents: Vec<PathBuf> = documents.map(|entry| entry.unwrap().path()).collect();
    documents.extend(
        [
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "src/README.md",
        ]
        .map(|name| root.join(name)),
    );
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !document.parent().unwrap().join(target).exists() {
                wrong.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Line and section of each citation, such as `3` or `3.1`.
fn citations(text: &str, document: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for rest in line.split(&format!("{document} ")).skip(1) {
            let number: String = rest
                .chars()
                .take_while(|letter| letter.is_ascii_digit() || *letter == '.')
                .collect();
            let number = number.trim_end_matches('.');
            if !number.is_empty() {
                found.push((index + 1, number.to_owned()));
            }
        }
    }
    found
}

/// Numbers of headings (`## 3. AUTH`, `### 18.1 …`) and of table rows (`| 3.1 | …`).
fn sections_of(document: &str) -> BTreeSet<String> {
    let path = root().join("docs").join(document).with_extension("md");
    let text = fs::read_to_string(path).unwrap();
    let number = |text: &str| {
        let number: String = text
            .chars()
            .take_while(|letter| letter.is_ascii_digit() || *letter == '.')
            .collect();
        let number = number.trim_end_matches('.').to_owned();
        (!number.is_empty()).then_some(number)
    };
    text.lines()
        .filter_map(|line| match line.strip_prefix('#') {
            Some(heading) => number(heading.trim_start_matches('#').trim_start()),
            None => number(line.strip_prefix("| ")?),
        })
        .collect()
}

/// Whatever may cite: sources, tests, benchmarks, settings.
fn texts() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "tests", "benches", "config"]
        .map(|name| root().join(name))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let kinds = ["rs", "smtp", "toml", "md", "py", "txt"];
            let kind = path.extension().and_then(|kind| kind.to_str());
            // This file names what must not be named.
            if kind.is_some_and(|kind| kinds.contains(&kind)) && !path.ends_with("documents.rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
